import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Arrow from "apache-arrow"
import type { Dataset } from "@ashlar/core"
import { Distribution, Training } from "@ashlar/training"
import type { SearchRequest, TrainingError } from "@ashlar/training"
import * as Promises from "@ashlar/training/promise"
import { auc } from "../src/internal/metrics.ts"
import { frameOf } from "./data.ts"
import { runOnnx } from "./runOnnx.ts"
import { makeTracker } from "./tracker.ts"

const train = frameOf({ rows: 3000 })
const validation = frameOf({ rows: 1500, seed: 2 })
const request = {
  experiment: "waves",
  trainer: "gradient-boosting",
  space: {
    learningRate: Distribution.float(0.01, 0.3, { log: true }),
    maxLeaves: Distribution.int(4, 31),
    objective: Distribution.categorical(["binary"]),
  },
  params: { iterations: 15 },
  trials: 4,
  seed: 7,
  train,
  validation,
  metric: "auc",
  key: "waves-1",
} satisfies SearchRequest.SearchRequest

let directory = ""
let tracker = makeTracker()
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ashlar-training-"))
  tracker = makeTracker()
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const run = <A>(effect: Effect.Effect<A, TrainingError.TrainingError, Training.Training>) =>
  effect.pipe(
    Effect.provide(Layer.provide(Training.layer({ directory, threads: 2 }), tracker.layer)),
  )

describe("Training.search", () => {
  it("tracks every trial and packages the best", async () => {
    const seen: Array<string> = []
    const onProgress = ({ trial, step }: SearchRequest.TrialProgress) =>
      void seen.push(`${trial}:${step}`)
    const { best, trials } = await Effect.runPromise(
      run(Training.search({ ...request, onProgress })),
    )
    expect(trials.map(({ index, status, resumed }) => [index, status, resumed])).toEqual(
      [0, 1, 2, 3].map((index) => [index, "FINISHED", false]),
    )
    const values = trials.map(({ metrics }) => metrics["auc"] ?? 0)
    expect(best.metrics["auc"]).toBe(Math.max(...values))
    expect(seen).toContain("3:15")

    const recorded = tracker.runs.get(best.runId)
    expect(recorded?.run.status).toBe("FINISHED")
    expect(recorded?.run.params["iterations"]).toBe("15")
    expect(recorded?.series.filter(({ key }) => key === "auc").map(({ step }) => step)).toEqual(
      Array.from({ length: 15 }, (_, i) => i + 1),
    )
    expect(recorded?.start.seed).toBeTypeOf("number")
    expect(recorded?.start.inputs?.map(({ digest, rows }) => [digest?.slice(0, 7), rows])).toEqual([
      ["sha256:", 3000],
      ["sha256:", 1500],
    ])
    expect(recorded?.artifacts).toEqual([{ path: "model", file: best.package.directory }])
    const parent = tracker.runs.get(recorded?.start.parentRunId ?? "")
    expect(parent?.run.status).toBe("FINISHED")
    expect(parent?.run.tags["ashlar.best_run"]).toBe(best.runId)

    const onnx = readFileSync(join(best.package.directory, best.package.manifest.entry))
    const scores = await runOnnx(new Uint8Array(onnx), validation.columns, "probability")
    expect(auc(validation.label, Float64Array.from(scores))).toBeCloseTo(
      best.metrics["auc"] ?? 0,
      4,
    )
  })

  it("does nothing again under the same key, and the same under another", async () => {
    const first = await Effect.runPromise(run(Training.search(request)))
    const runs = tracker.runs.size
    const second = await Effect.runPromise(run(Training.search(request)))
    expect(tracker.runs.size).toBe(runs)
    expect(second.trials.every(({ resumed }) => resumed)).toBe(true)
    expect(second.best).toEqual(first.best)

    const other = await Effect.runPromise(run(Training.search({ ...request, key: "waves-2" })))
    expect(other.trials.map(({ params, metrics }) => [params, metrics])).toEqual(
      first.trials.map(({ params, metrics }) => [params, metrics]),
    )
    expect(other.best.package.manifest.files[0]?.digest).toBe(
      first.best.package.manifest.files[0]?.digest,
    )
  })

  it("continues after an interruption with the trials it would have had", async () => {
    const whole = await Effect.runPromise(run(Training.search({ ...request, key: "whole" })))
    let reached: (() => void) | undefined
    const third = new Promise<void>((resolve) => (reached = resolve))
    const onProgress = ({ trial }: SearchRequest.TrialProgress) =>
      trial === 2 ? reached?.() : undefined
    const fiber = Effect.runFork(run(Training.search({ ...request, key: "cut", onProgress })))
    await third
    await Effect.runPromise(Fiber.interrupt(fiber))
    expect(Exit.isFailure(await Effect.runPromise(Fiber.await(fiber)))).toBe(true)
    const statuses = [...tracker.runs.values()]
      .filter(({ start }) => start.tags?.["ashlar.key"] === "cut")
      .map(({ run }) => run.status)
    expect(statuses).toEqual(["RUNNING", "FINISHED", "FINISHED", "KILLED"])

    const { trials } = await Effect.runPromise(run(Training.search({ ...request, key: "cut" })))
    expect(trials.map(({ resumed }) => resumed)).toEqual([true, true, false, false])
    expect(trials.map(({ params, metrics }) => [params, metrics])).toEqual(
      whole.trials.map(({ params, metrics }) => [params, metrics]),
    )
  })

  it("continues the run of a process that died without a word", async () => {
    const first = await Effect.runPromise(run(Training.search(request)))
    const last = first.trials[3]
    const recorded = tracker.runs.get(last?.runId ?? "")
    if (recorded === undefined) throw new Error("the last trial was not recorded")
    recorded.run = { ...recorded.run, status: "RUNNING", metrics: {} }
    const { trials } = await Effect.runPromise(run(Training.search(request)))
    expect(trials[3]).toEqual({ ...last, resumed: false })
    expect(recorded.run.status).toBe("FINISHED")
  })

  it("fits the best again when its files are gone", async () => {
    const first = await Effect.runPromise(run(Training.search(request)))
    rmSync(directory, { recursive: true })
    const second = await Effect.runPromise(run(Training.search(request)))
    expect(second.best.package.manifest.files[0]?.digest).toBe(
      first.best.package.manifest.files[0]?.digest,
    )
  })

  it("a trial with refused parameters fails alone; with none left the search fails", async () => {
    const enqueue = [{ maxLeaves: 1 }]
    const { best, trials } = await Effect.runPromise(run(Training.search({ ...request, enqueue })))
    expect(trials[0]?.status).toBe("FAILED")
    expect(best.runId).not.toBe(trials[0]?.runId)
    const error = await Effect.runPromise(
      Effect.flip(run(Training.search({ ...request, key: "bad", trials: 1, enqueue }))),
    )
    expect([error.code, error.field]).toEqual(["TrainingError.InvalidInput", "space"])
  })

  it("refuses what it cannot use, with the field", async () => {
    const field = async (change: object) =>
      (await Effect.runPromise(Effect.flip(run(Training.search({ ...request, ...change }))))).field
    expect(await field({ trainer: "lightgbm" })).toBe("trainer")
    expect(await field({ validation: undefined })).toBe("validation")
    expect(await field({ metric: "f1" })).toBe("metric")
    expect(await field({ metric: "constructor" })).toBe("metric")
    expect(await field({ experiment: "../x" })).toBe("request")
    expect(await field({ space: { a: Distribution.float(2, 1) } })).toBe("request")
  })
})

describe("Training.fit", () => {
  it("reads datasets with nulls, integers and booleans; resumes by key", async () => {
    const rows = 400
    const columns = {
      x: Arrow.vectorFromArray(
        Array.from({ length: rows }, (_, i) => (i % 7 === 0 ? null : i)),
        new Arrow.Float64(),
      ),
      n: Arrow.vectorFromArray(
        Array.from({ length: rows }, (_, i) => BigInt(i * 3)),
        new Arrow.Int64(),
      ),
      b: Arrow.vectorFromArray(
        Array.from({ length: rows }, (_, i) => i % 3 === 0),
        new Arrow.Bool(),
      ),
      s: Arrow.vectorFromArray(
        Array.from({ length: rows }, (_, i) => `s${i}`),
        new Arrow.Utf8(),
      ),
      late: Arrow.vectorFromArray(
        Array.from({ length: rows }, (_, i) => i > 200),
        new Arrow.Bool(),
      ),
    }
    const table = new Arrow.Table(columns)
    const dataset: Dataset.Dataset = {
      schema: table.schema,
      rows: undefined,
      batches: Stream.fromIterable(table.batches),
    }
    const ask = {
      experiment: "e",
      trainer: "gradient-boosting",
      seed: 1,
      key: "k",
      params: { iterations: 5 },
      train: dataset,
      features: ["x", "n", "b"],
      label: "late",
    }
    const model = await Effect.runPromise(run(Training.fit(ask)))
    expect(model.package.manifest.signature.inputs[0]?.columns).toEqual(["x", "n", "b"])
    expect((await Effect.runPromise(run(Training.fit(ask)))).runId).toBe(model.runId)
    const error = (change: object) =>
      Effect.runPromise(Effect.flip(run(Training.fit({ ...ask, ...change }))))
    expect((await error({ features: ["x", "s"] })).field).toBe("features[1]")
    expect((await error({ label: "nope" })).message).toContain("x, n, b, s, late")
    expect((await error({ label: "x" })).field).toBe("label[0]")
    expect((await error({ features: [] })).field).toBe("request")
  })
})

describe("the Promise face", () => {
  it("fits, rejects with the same errors and aborts", async () => {
    await using training = await Promises.make({ tracker: tracker.layer, directory, threads: 1 })
    expect(training.trainers).toEqual(["gradient-boosting"])
    const model = await training.fit({ ...request, params: { iterations: 3 } })
    expect(model.package.manifest.flavor).toBe("onnx")
    await expect(training.fit({ ...request, trainer: "none" })).rejects.toBeInstanceOf(
      Promises.TrainingError,
    )
    const controller = new AbortController()
    const long = training.fit(
      { ...request, key: "long", params: { iterations: 100_000 } },
      { signal: controller.signal },
    )
    setTimeout(() => controller.abort(), 200)
    await expect(long).rejects.toMatchObject({ name: "AbortError" })
    expect([...tracker.runs.values()].at(-1)?.run.status).toBe("KILLED")
  })
})
