/**
 * Program: starts a session of a tiny model with the ONNX Runtime provider named by its argument
 * and runs it, or lists the providers of this build when there is no argument.
 */
const marker = "ashlar-probe:"

/** An `Identity` from `x` to `y`, both `float[1]`, opset 13. */
const model =
  "CAcSADo3ChAKAXgSAXkiCElkZW50aXR5EgFnWg8KAXgSCgoICAESBAoCCAFiDwoBeRIKCggIARIECgIIAUIECgAQDQ=="

const tell = (answer: unknown): void => {
  process.stdout.write(`\n${marker}${JSON.stringify(answer)}\n`, () => process.exit(0))
}

const reason = (cause: unknown): string => {
  const missing =
    typeof cause === "object" && cause !== null && "code" in cause
      ? cause.code === "ERR_MODULE_NOT_FOUND"
      : false
  if (missing) return "the package onnxruntime-node is not installed; npm install onnxruntime-node"
  return cause instanceof Error ? cause.message.slice(0, 300) : String(cause).slice(0, 300)
}

const provider = process.argv[2]
try {
  const ort = await import("onnxruntime-node")
  if (provider === undefined) {
    tell({ providers: ort.listSupportedBackends().map((backend) => backend.name) })
  } else {
    const session = await ort.InferenceSession.create(Buffer.from(model, "base64"), {
      executionProviders: [provider],
      logSeverityLevel: 3,
    })
    const x = new ort.Tensor("float32", Float32Array.of(42), [1])
    const { y } = await session.run({ x })
    tell(y?.data[0] === 42 ? { started: true } : { why: "it computed a wrong value" })
  }
} catch (cause) {
  tell({ why: reason(cause) })
}
