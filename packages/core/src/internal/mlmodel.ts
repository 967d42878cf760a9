/** The MLmodel file: YAML that MLflow reads. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { parse, stringify } from "yaml"
import { MlflowSignature } from "../Signature.ts"
import * as Timestamp from "../Timestamp.ts"
import { failure, type ModelPackageError } from "./packageFiles.ts"

const Flavor = Schema.Record(Schema.String, Schema.Json)

/** What Ashlar reads of an MLmodel; MLflow may have written more. */
export const MLmodel = Schema.Struct({
  flavors: Schema.Record(Schema.String, Flavor),
  model_uuid: Schema.optionalKey(Schema.NullOr(Schema.String)),
  run_id: Schema.optionalKey(Schema.NullOr(Schema.String)),
  signature: Schema.optionalKey(Schema.NullOr(MlflowSignature)),
  utc_time_created: Schema.optionalKey(Schema.NullOr(Schema.String)),
  metadata: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.Json))),
})

/** What Ashlar reads of an MLmodel. */
export type MLmodel = typeof MLmodel.Type

/** The MLflow whose file format is written. */
const mlflowVersion = "3.18.0"

/** `2026-01-02 03:04:05.678901`, as MLflow writes instants. */
const mlflowTime = (instant: Timestamp.Timestamp): string => {
  const [date, time = ""] = Timestamp.toIso(instant).slice(0, -1).split("T")
  const [seconds, fraction = ""] = time.split(".")
  return `${date} ${seconds}.${fraction.padEnd(6, "0")}`
}

/** The instant of `utc_time_created`. */
export const fromMlflowTime = (text: string): Timestamp.Timestamp | undefined =>
  Timestamp.fromIso(text.trim())

/**
 * MLflow's own loaders for a flavor. An `onnx` model gets the settings that `mlflow.onnx` and
 * `mlflow.pyfunc` need; what the caller gave stays.
 */
export const flavorsOf = (
  flavor: string,
  entry: string,
  given: Readonly<Record<string, Readonly<Record<string, Schema.Json>>>>,
): Record<string, Record<string, Schema.Json>> => {
  const flavors: Record<string, Record<string, Schema.Json>> = {}
  for (const [name, settings] of Object.entries(given)) flavors[name] = { ...settings }
  flavors[flavor] = { data: entry, ...flavors[flavor] }
  if (flavor === "onnx") {
    flavors["onnx"] = {
      code: null,
      onnx_version: "1.17.0",
      providers: ["CPUExecutionProvider"],
      ...flavors["onnx"],
    }
    flavors["python_function"] ??= { data: entry, env: {}, loader_module: "mlflow.onnx" }
  }
  return flavors
}

/** The text of an MLmodel file. */
export const write = (model: {
  readonly flavors: Readonly<Record<string, unknown>>
  readonly modelUuid: string
  readonly runId: string | undefined
  readonly signature: MlflowSignature
  readonly created: Timestamp.Timestamp
  readonly size: number
  readonly artifactPath: string
  readonly metadata: Readonly<Record<string, unknown>> | undefined
}): string =>
  stringify(
    {
      artifact_path: model.artifactPath,
      flavors: model.flavors,
      ...(model.metadata === undefined ? {} : { metadata: model.metadata }),
      mlflow_version: mlflowVersion,
      model_size_bytes: model.size,
      model_uuid: model.modelUuid,
      ...(model.runId === undefined ? {} : { run_id: model.runId }),
      signature: model.signature,
      utc_time_created: mlflowTime(model.created),
    },
    // Strings MLflow would read as dates or numbers are quoted by the YAML 1.1 rules it uses.
    { version: "1.1", lineWidth: 0 },
  )

const decode = Schema.decodeUnknownEffect(MLmodel)

const maxDepth = 100

/**
 * True when brackets or list markers nest so deep that only an attack writes them: the parser's
 * time grows with the square of the depth.
 */
const isTooDeep = (text: string): boolean => {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x5b || code === 0x7b) {
      if (++depth > maxDepth) return true
    } else if ((code === 0x5d || code === 0x7d) && depth > 0) depth -= 1
  }
  return /(?:[-?:][ \t]+){100}/.test(text)
}

/** Reads the text of an MLmodel file. */
export const read = (directory: string, text: string): Effect.Effect<MLmodel, ModelPackageError> =>
  Effect.try({
    try: (): unknown => {
      if (isTooDeep(text)) throw new Error(`it nests deeper than ${maxDepth} levels`)
      return parse(text, { maxAliasCount: 20, version: "1.1", schema: "core" })
    },
    catch: (cause) => cause,
  }).pipe(
    Effect.flatMap(decode),
    Effect.mapError((cause) =>
      failure(
        "Corrupt",
        `MLmodel in '${directory}' is malformed (${cause instanceof Error ? cause.message : String(cause)}); log the model again`,
        { cause },
      ),
    ),
  )
