import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { Dataset, Predictor, PromotionGate, type Signature } from "@ashlar/core"
import * as Parquet from "@ashlar/core/parquet"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Gate } from "../src/index.ts"
import { random } from "../src/internal/random.ts"

const folder = mkdtempSync(join(tmpdir(), "gate-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Linear models of two features; `signal` of them is known to the model. */
const models: Record<
  string,
  { readonly signature: Signature.Signature; readonly score: (x: ReadonlyArray<number>) => number }
> = {
  champion: {
    signature: {
      inputs: [{ name: "features", datatype: "FP32", shape: [-1, 2], columns: ["a", "b"] }],
      outputs: [{ name: "probability", datatype: "FP32", shape: [-1] }],
    },
    score: ([a = 0]) => a,
  },
  better: {
    signature: {
      inputs: ["a", "b", "c"].map((name) => ({ name, datatype: "FP64" as const, shape: [-1, 1] })),
      outputs: [
        { name: "label", datatype: "INT64", shape: [-1] },
        { name: "probability", datatype: "FP32", shape: [-1] },
      ],
    },
    score: ([a = 0, b = 0, c = 0]) => a + b + c,
  },
  other: {
    signature: {
      inputs: [{ name: "features", datatype: "FP32", shape: [-1, 1], columns: ["a"] }],
      outputs: [{ name: "score", datatype: "FP64", shape: [-1, 2] }],
    },
    score: ([a = 0]) => a,
  },
  wide: {
    signature: {
      inputs: Array.from({ length: 23 }, (_, i) => `f${i}`)
        .concat("a", "b", "c")
        .map((name) => ({ name, datatype: "FP64" as const, shape: [-1, 1] })),
      outputs: [{ name: "probability", datatype: "FP32", shape: [-1] }],
    },
    score: (x) => x.slice(23).reduce((sum, value) => sum + value, 0),
  },
  hungry: {
    signature: {
      inputs: [{ name: "features", datatype: "FP32", shape: [-1, 1], columns: ["unknown"] }],
      outputs: [{ name: "probability", datatype: "FP32", shape: [-1] }],
    },
    score: () => 0,
  },
}

let predictions = 0
const predictor = Layer.succeed(Predictor.Predictor, {
  signature: ({ name }) => {
    const model = models[name]
    return model === undefined
      ? Effect.fail(
          new Predictor.PredictorError({ reason: "NotFound", message: `no model '${name}'` }),
        )
      : Effect.succeed(model.signature)
  },
  predict: ({ model, inputs }) =>
    Effect.sync(() => {
      predictions++
      const found = models[model.name]
      if (found === undefined) throw new Error("unknown")
      const tensors = found.signature.inputs.map((spec) => inputs[spec.name])
      const rows = tensors[0]?.shape[0] ?? 0
      const out = found.signature.outputs.find((o) => o.datatype !== "INT64")
      const width = out?.shape.length === 2 ? 2 : 1
      const data =
        out?.datatype === "FP64" ? new Float64Array(rows * width) : new Float32Array(rows * width)
      for (let i = 0; i < rows; i++) {
        const x = tensors.flatMap((t) => {
          const w = t?.shape[1] ?? 1
          return Array.from({ length: w }, (_, j) => Number(t?.data[i * w + j]))
        })
        const p = 1 / (1 + Math.exp(-found.score(x)))
        data[i * width + width - 1] = p
        if (width === 2) data[i * width] = 1 - p
      }
      const shape = width === 2 ? [rows, 2] : [rows]
      return {
        model: model.name,
        version: 1,
        outputs: { [out?.name ?? ""]: { datatype: out?.datatype ?? "FP32", shape, data } },
      }
    }),
})

let evaluation: Dataset.DatasetRef
beforeAll(async () => {
  const next = random(1)
  const normal = () => next() + next() + next() + next() - 2
  const n = 20_000
  const columns = { a: new Float64Array(n), b: new Float64Array(n), c: new Float64Array(n) }
  const late: Array<number | null> = []
  for (let i = 0; i < n; i++) {
    const [a, b, c] = [normal(), normal(), normal()]
    columns.a[i] = a
    columns.b[i] = b
    columns.c[i] = c
    late.push(i % 50 === 0 ? null : next() < 1 / (1 + Math.exp(-2 * (a + b + c))) ? 1 : 0)
  }
  const file = join(folder, "april.parquet")
  const written = await Effect.runPromise(
    Effect.flatMap(Dataset.fromColumns({ ...columns, late }), (ds) => Parquet.write(ds, file)),
  )
  evaluation = { name: "april", uri: pathToFileURL(file).href, digest: written.digest }
})

const compare = (request: Partial<PromotionGate.GateRequest>, options?: Gate.GateOptions) =>
  Effect.gen(function* () {
    const gate = yield* PromotionGate.PromotionGate
    return yield* gate.compare({
      challenger: { name: "better" },
      champion: { name: "champion" },
      evaluation,
      label: "late",
      metric: "auc",
      ...request,
    })
  }).pipe(Effect.provide(Gate.layer(options).pipe(Layer.provide(predictor))))

const run = (request: Partial<PromotionGate.GateRequest>, options?: Gate.GateOptions) =>
  Effect.runPromise(compare(request, options))
const fail = (request: Partial<PromotionGate.GateRequest>, options?: Gate.GateOptions) =>
  Effect.runPromise(Effect.flip(compare(request, options)))

describe("the promotion gate", () => {
  for (const metric of ["auc", "log_loss", "brier", "accuracy"] as const) {
    it(`lets a better challenger pass and a worse one not, by ${metric}`, async () => {
      const won = await run({ metric })
      expect(won.checks.map((c) => [c.name, c.passed])).toEqual([
        ["signature", true],
        ["evaluation", true],
        [metric, true],
        ["significance", true],
      ])
      expect(won.passed).toBe(true)
      expect(won.checks[0]?.message).toMatch(/new features c/)
      expect(won.checks[1]?.observed).toBe(19_600)
      const lost = await run({
        metric,
        challenger: { name: "champion" },
        champion: { name: "better" },
      })
      expect(lost.passed).toBe(false)
      const check = lost.checks.find((c) => c.name === metric)
      expect(check?.observed).toBeCloseTo(-(won.checks[2]?.observed ?? 0), 10)
      expect(check?.message).toMatch(/but not enough/)
    })
  }

  it("does not promote a model over itself, nor below the minimum gain", async () => {
    const same = await run({ challenger: { name: "champion" } })
    expect(same.passed).toBe(false)
    expect(same.checks.find((c) => c.name === "significance")?.observed).toBe(0.5)
    const gain = (await run({})).checks[2]?.observed ?? 0
    expect((await run({ minimumGain: gain + 0.01 })).passed).toBe(false)
    expect((await run({ minimumGain: gain - 0.01 })).passed).toBe(true)
  })

  it("passes the first model, and gives the same answer twice", async () => {
    const request = { challenger: { name: "champion" }, metric: "brier" } as const
    const gate = Effect.flatMap(PromotionGate.PromotionGate, (g) =>
      g.compare({ ...request, evaluation, label: "late" }),
    )
    const first = await Effect.runPromise(
      Effect.provide(gate, Gate.layer().pipe(Layer.provide(predictor))),
    )
    expect(first).toMatchObject({
      passed: true,
      checks: [{ name: "signature" }, { name: "evaluation" }, { name: "brier" }],
    })
    expect(await run({ metric: "brier" })).toEqual(await run({ metric: "brier" }))
  })

  it("stops a challenger that lacks the champion's output", async () => {
    const decision = await run({ challenger: { name: "other" } })
    expect(decision.passed).toBe(false)
    expect(decision.checks[0]).toMatchObject({
      passed: false,
      message: expect.stringMatching(/'probability' \(FP32\)/),
    })
  })

  it("needs enough rows of both classes", async () => {
    const decision = await run({}, { minimumRows: 1_000_000 })
    expect(decision).toMatchObject({ passed: false })
    expect(decision.checks[1]?.message).toMatch(/at least 1000000 rows/)
  })

  it("names a few of many new features and counts the rest", async () => {
    const names = Array.from({ length: 23 }, (_, i) => `f${i}`)
    const read = (ref: Dataset.DatasetRef) =>
      Effect.flatMap(Parquet.read(new URL(ref.uri)), (dataset) =>
        Dataset.withColumns(
          dataset,
          Object.fromEntries(names.map((name) => [name, new Float64Array(20_000)])),
        ),
      )
    const { digest: _, ...undigested } = evaluation
    const won = await run({ challenger: { name: "wide" }, evaluation: undigested }, { read })
    expect(won.checks[0]?.message).toMatch(
      /; it takes new features f0, f1, f2, f3, f4 and 19 more$/,
    )
  })

  it("refuses labels that are not 0 or 1, and a class of one row", async () => {
    const of = (label: (i: number) => number) => ({
      read: () =>
        Dataset.fromColumns({
          a: Float64Array.from({ length: 200 }, (_, i) => i),
          b: new Float64Array(200),
          c: new Float64Array(200),
          late: Float64Array.from({ length: 200 }, (_, i) => label(i)),
        }),
    })
    const { digest: _, ...undigested } = evaluation
    const request = { evaluation: undigested }
    const error = await fail(
      request,
      of((i) => (i % 2 === 0 ? 1 : -1)),
    )
    expect(error.message).toMatch(/label 'late' row 1 is -1; .* 0 and 1/)
    const one = await run(
      request,
      of((i) => (i === 0 ? 1 : 0)),
    )
    expect(one.checks[1]).toMatchObject({ name: "evaluation", passed: false })
    expect(one.checks[1]?.message).toMatch(/1 of them positive; .*two rows of each class/)
  })

  it("holds the features of one batch at a time", async () => {
    const before: Array<number> = []
    const read = (ref: Dataset.DatasetRef) =>
      Effect.map(Parquet.read(new URL(ref.uri)), (dataset) =>
        Dataset.fromBatches(
          dataset.schema,
          dataset.batches.pipe(
            Stream.flatMap((batch) =>
              Stream.fromIterable(
                Array.from({ length: Math.ceil(batch.numRows / 1000) }, (_, i) =>
                  batch.slice(i * 1000, Math.min(batch.numRows, (i + 1) * 1000)),
                ),
              ),
            ),
            Stream.tap(() => Effect.sync(() => before.push(predictions))),
          ),
        ),
      )
    const { digest: _, ...undigested } = evaluation
    const request = { evaluation: undigested }
    expect(await run(request, { read })).toEqual(await run(request))
    // Each batch was predicted by both models before the next was read.
    expect(before.map((count) => count - (before[0] ?? 0))).toEqual(
      Array.from({ length: 20 }, (_, i) => 2 * i),
    )
  })

  it("says what is wrong with the request or the data", async () => {
    expect((await fail({ challenger: { name: "nobody" } })).code).toBe(
      "PromotionGateError.NotFound",
    )
    expect((await fail({ label: "delay" })).message).toMatch(/lacks 'delay'; it has a, b, c, late/)
    expect((await fail({ challenger: { name: "hungry" } })).message).toMatch(/lacks 'unknown'/)
    expect((await fail({ evaluation: { ...evaluation, uri: "s3://x/y" } })).message).toMatch(
      /no file: URI/,
    )
    expect(
      (await fail({ evaluation: { ...evaluation, uri: `${evaluation.uri}.gone` } })).reason,
    ).toBe("NotFound")
    expect(
      (await fail({ evaluation: { ...evaluation, digest: `sha256:${"0".repeat(64)}` } })).message,
    ).toMatch(/digest/)
    expect((await fail({ alpha: 2 })).code).toBe("PromotionGateError.InvalidInput")
  })
})
