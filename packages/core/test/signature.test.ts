import { DataType, Signature } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"

const run = <A, E>(effect: Effect.Effect<A, E>): A => Effect.runSync(effect)
const fails = <E>(effect: Effect.Effect<unknown, E>): E =>
  Effect.runSync(Effect.flip(Effect.map(effect, () => "it succeeded")))

const name = fc.string({ minLength: 1, maxLength: 12 })

const tensor = (withColumns: boolean): fc.Arbitrary<Signature.TensorSpec> =>
  fc
    .record({
      name,
      datatype: fc.constantFrom(...DataType.names),
      inner: fc.array(fc.constantFrom(-1, 1, 4, 224), { maxLength: 3 }),
      columns: fc.option(fc.array(name, { maxLength: 3 })),
    })
    .map(({ inner, columns, ...rest }) => ({
      ...rest,
      shape: [-1, ...inner],
      ...(withColumns && columns !== null ? { columns } : {}),
    }))

const tensors = (withColumns: boolean) =>
  fc.uniqueArray(tensor(withColumns), { maxLength: 5, selector: (spec) => spec.name })

describe("mappings", () => {
  it("to Arrow and back are exact", () => {
    fc.assert(
      fc.property(tensors(true), (specs) => {
        expect(run(Effect.flatMap(Signature.toArrow(specs), Signature.fromArrow))).toEqual(specs)
      }),
    )
  })

  it("to Open Inference Protocol metadata and back are exact", () => {
    fc.assert(
      fc.property(tensors(true), (specs) => {
        const wire: unknown = JSON.parse(JSON.stringify(Signature.toInference(specs)))
        expect(Signature.fromInference(wire as ReadonlyArray<Signature.InferenceTensor>)).toEqual(
          specs,
        )
      }),
    )
  })

  it("to MLflow tensors and back are exact", () => {
    const params = fc.dictionary(
      name.filter((key) => key !== "__proto__"),
      fc.oneof(fc.boolean(), fc.integer(), fc.string(), fc.array(fc.string(), { minLength: 1 })),
      { noNullPrototype: true },
    )
    fc.assert(
      fc.property(tensors(false), tensors(false), fc.option(params), (inputs, outputs, extra) => {
        const signature = { inputs, outputs, ...(extra === null ? {} : { params: extra }) }
        const back = Effect.flatMap(Signature.toMlflow(signature), Signature.fromMlflow)
        expect(run(back)).toEqual(signature)
      }),
    )
  })

  it("to MLflow columns and back keep the six column types", () => {
    const inputs = (["BOOL", "INT32", "INT64", "FP32", "FP64", "BYTES"] as const).map(
      (datatype) => ({ name: datatype.toLowerCase(), datatype, shape: [-1] }),
    )
    const signature = { inputs, outputs: [] }
    const mlflow = run(Signature.toMlflow(signature, { form: "columns" }))
    expect(JSON.parse(mlflow.inputs ?? "")[2]).toEqual({
      type: "long",
      name: "int64",
      required: true,
    })
    expect(run(Signature.fromMlflow(mlflow))).toEqual(signature)
  })

  it("say what they cannot express", () => {
    const spec = (datatype: DataType.DataType, shape: Array<number>) => [
      { name: "x", datatype, shape },
    ]
    expect(fails(Signature.toArrow(spec("FP32", [2, 3]))).message).toContain("batch dimension")
    const half = { inputs: spec("FP16", [-1]), outputs: [] }
    expect(fails(Signature.toMlflow(half, { form: "columns" }))).toMatchObject({ field: "x" })
    const dates = JSON.stringify([{ type: "datetime", name: "day", required: true }])
    expect(fails(Signature.fromMlflow({ inputs: dates })).message).toContain("'datetime'")
    expect(fails(Signature.fromMlflow({ inputs: "{" })).message).toContain("inputs")
    expect(fails(Signature.fromMlflow({ inputs: '[{"type":"tensor"}]' })).code).toBe(
      "SignatureError.InvalidInput",
    )
  })
})

describe("validate", () => {
  const signature: Signature.Signature = {
    inputs: [
      { name: "x", datatype: "FP32", shape: [-1, 2] },
      { name: "id", datatype: "INT64", shape: [-1] },
    ],
    outputs: [{ name: "y", datatype: "FP32", shape: [-1] }],
  }
  const x = { datatype: "FP32", shape: [1, 2], data: Float32Array.of(Number.NaN, 1) } as const
  const id = { datatype: "INT64", shape: [1], data: BigInt64Array.of(2n ** 62n) } as const

  it("takes what fits, with NaN and large int64", () => {
    run(Signature.validate({ x, id }, signature))
  })

  it.each([
    [{ x }, "id", "is missing"],
    [{ x, id, z: x }, "z", "unknown input 'z'"],
    [{ x: { ...x, datatype: "FP64" }, id }, "x", "is FP64, the model takes FP32"],
    [{ x: { ...x, shape: [2] }, id }, "x", "shape [2], the model takes [-1, 2]"],
    [{ x: { ...x, shape: [-1, 2] }, id }, "x", "shape [-1, 2]"],
    [{ x: { ...x, shape: [3, 2] }, id }, "x", "has 2 elements, its shape [3, 2] says 6"],
    [{ x: { ...x, data: new Float64Array(2) }, id }, "x", "not of FP32"],
  ] as const)("refuses %#, naming the input", (inputs, field, message) => {
    const error = fails(Signature.validate(inputs, signature))
    expect(error).toMatchObject({ _tag: "TensorError", field })
    expect(error.message).toContain(message)
  })
})

describe("DataType.fromValues", () => {
  it("checks ranges and exactness", () => {
    const of = (datatype: DataType.DataType, ...values: Array<unknown>) =>
      DataType.fromValues(datatype, values)
    expect(run(of("INT8", -128, 127))).toEqual(Int8Array.of(-128, 127))
    expect(run(of("UINT64", "18446744073709551615"))).toEqual(BigUint64Array.of(2n ** 64n - 1n))
    expect(run(of("FP32", 0.5, "NaN", "-Infinity"))).toEqual(
      Float32Array.of(0.5, Number.NaN, Number.NEGATIVE_INFINITY),
    )
    expect(run(of("FP16", 1, -2, 65504, 65520, 2 ** -24, 0.1))).toEqual(
      Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x7c00, 1, 0x2e66),
    )
    expect(run(of("BOOL", true, 0))).toEqual(Uint8Array.of(1, 0))
    expect(run(of("BYTES", "a"))).toEqual(["a"])
    for (const [datatype, value] of [
      ["INT8", 128],
      ["UINT8", -1],
      ["INT32", 1.5],
      ["INT64", "9223372036854775808"],
      ["BOOL", 2],
      ["FP32", "x"],
      ["FP64", null],
      ["BYTES", 1],
    ] as const) {
      expect(fails(of(datatype, value))).toMatchObject({ field: "data[0]" })
    }
    expect(fails(of("INT64", 2 ** 53)).message).toContain("decimal string")
  })
})
