import { RunTracker } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as Sqlite from "@ashlar/core/sqlite"
import { Runs, TensorBoard } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import fc from "fast-check"
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, describe, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-tensorboard-"))
const real = fileURLToPath(new URL("fixtures/events", import.meta.url))
const runtime = ManagedRuntime.make(
  Layer.provideMerge(Runs.trackerLayer, Runs.layer).pipe(
    Layer.provide([
      Sqlite.layer({ file: join(folder, "registry.sqlite") }),
      Fs.layer({ directory: join(folder, "blobs") }),
    ]),
  ),
)
afterAll(async () => {
  await runtime.dispose()
  rmSync(folder, { recursive: true, force: true })
})

const collect = (file: string, options?: { readonly from?: number }) =>
  Effect.runPromise(Stream.runCollect(TensorBoard.read(file, options)))

const scalarsOf = (events: ReadonlyArray<TensorBoard.Event>) =>
  events.flatMap(({ step, scalars }) => scalars.map(({ tag, value }) => [tag, step, value]))

const write = (directory: string, steps: number, tags: ReadonlyArray<string> = ["loss"]) =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const writer = yield* TensorBoard.make(directory)
        for (let step = 0; step < steps; step++) {
          const points = tags.map((tag) => ({ tag, value: step / 2 }))
          yield* writer.scalars(points, { step, time: 1_000_000 * step })
        }
        return writer.file
      }),
    ),
  )

describe("event files", () => {
  it("reads TensorBoard's own, and hyper-parameters", async () => {
    const loss = await collect(join(real, "events.out.tfevents.1000.tensorboard"))
    expect(scalarsOf(loss)).toEqual(
      [0, 1, 2, 3, 4].map((step) => ["loss", step, Math.fround(1 / (step + 1))]),
    )
    const events = await collect(join(real, "events.out.tfevents.2000.hparams"))
    expect(events.flatMap((event) => event.hparams ?? [])).toMatchObject([
      { params: { rate: 0.5, optimizer: "adam", deep: true } },
      { status: "SUCCESS" },
    ])
  })

  it("writes what it reads: steps, times, values to 32 bits", async () => {
    const point = fc.record({
      tag: fc.string({ minLength: 1, unit: "binary" }).filter((tag) => tag.isWellFormed()),
      value: fc.float(),
    })
    const event = fc.record({
      points: fc.array(point, { minLength: 1, maxLength: 5 }),
      step: fc.maxSafeInteger(),
      time: fc.integer({ min: 1, max: 4e15 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 8 }), async (all) => {
        const file = await Effect.runPromise(
          Effect.scoped(
            Effect.gen(function* () {
              const writer = yield* TensorBoard.make(join(folder, "round"))
              for (const { points, ...at } of all) yield* writer.scalars(points, at)
              return writer.file
            }),
          ),
        )
        const back = (await collect(file)).slice(1)
        expect(back.map(({ scalars, step, time }) => ({ points: scalars, step, time }))).toEqual(
          all,
        )
      }),
      { numRuns: 50, seed: 3 },
    )
  })

  it("ends before a record that is still written, and goes on from there", async () => {
    const whole = readFileSync(await write(join(folder, "whole"), 3))
    const file = join(folder, "growing")
    const full = await collect(await write(join(folder, "again"), 3))
    for (let cut = 0; cut < whole.length; cut++) {
      writeFileSync(file, whole.subarray(0, cut))
      const seen = await collect(file)
      expect(seen).toHaveLength(full.filter(({ end }) => end <= cut).length)
      appendFileSync(file, whole.subarray(cut))
      const rest = await collect(file, { from: seen.at(-1)?.end ?? 0 })
      expect(scalarsOf([...seen, ...rest])).toEqual(scalarsOf(full))
    }
  })

  it("says where bytes were changed", async () => {
    const whole = readFileSync(join(real, "events.out.tfevents.2000.hparams"))
    const file = join(folder, "changed")
    await fc.assert(
      fc.asyncProperty(
        fc.nat(whole.length - 1),
        fc.integer({ min: 1, max: 255 }),
        async (at, bits) => {
          const changed = Uint8Array.from(whole)
          changed[at] = (changed[at] ?? 0) ^ bits
          writeFileSync(file, changed)
          const error = await Effect.runPromise(
            Effect.flip(Stream.runDrain(TensorBoard.read(file))),
          )
          expect(error).toMatchObject({
            code: "TensorBoardError.Corrupt",
            field: expect.stringMatching(/^record at byte \d+$/),
          })
        },
      ),
      { numRuns: 200, seed: 4 },
    )
    await expect(collect(join(folder, "nobody"))).rejects.toMatchObject({ reason: "NotFound" })
    await expect(collect(file, { from: -1 })).rejects.toMatchObject({ reason: "InvalidInput" })
  })
})

describe("runs", () => {
  it("are imported once, and on from where an import ended", async () => {
    const directory = join(folder, "import")
    const file = await write(directory, 2500, ["loss", "acc (best)"])
    const whole = readFileSync(file)
    writeFileSync(file, whole.subarray(0, 60_000))
    const logged: Array<number> = []
    const importing = (options: Partial<TensorBoard.ImportOptions>) =>
      runtime.runPromise(
        Effect.gen(function* () {
          const tracker = yield* RunTracker.RunTracker
          return yield* TensorBoard.importRun(
            directory,
            {
              ...tracker,
              log: (runId, batch) => {
                logged.push(batch.metrics?.length ?? 0)
                return tracker.log(runId, batch)
              },
            },
            { experiment: "imports", ...options },
          )
        }),
      )
    const first = await importing({ finish: false })
    expect(first.run.status).toBe("RUNNING")
    appendFileSync(file, whole.subarray(60_000))
    const second = await importing({})
    const third = await importing({})
    expect([first.points + second.points, third.points]).toEqual([5000, 0])
    expect([second.run.runId, third.run.runId]).toEqual([first.run.runId, first.run.runId])
    expect(Math.max(...logged)).toBe(1000)
    expect(second.run.status).toBe("FINISHED")
    const [[tag, key = ""] = []] = Object.entries(second.renamed)
    expect([tag, key]).toEqual(["acc (best)", expect.stringMatching(/^acc _best_-[0-9a-f]{8}$/)])
    for (const metric of ["loss", key]) {
      const history = await runtime.runPromise(
        Effect.flatMap(Runs.Runs, (runs) => runs.history(first.run.runId, metric)),
      )
      expect(history).toEqual(
        Array.from({ length: 2500 }, (_, i) => ({ step: i, time: i * 1_000_000, value: i / 2 })),
      )
    }
  })

  it("keep a failure that an earlier import read", async () => {
    const directory = join(folder, "failure")
    await Effect.runPromise(
      Effect.scoped(Effect.flatMap(TensorBoard.make(directory), (writer) => writer.end("FAILURE"))),
    )
    const tracker = await runtime.runPromise(RunTracker.RunTracker)
    const importing = (finish: boolean) =>
      Effect.runPromise(
        TensorBoard.importRun(directory, tracker, { experiment: "imports", finish }),
      )
    expect((await importing(false)).run.status).toBe("RUNNING")
    expect((await importing(true)).run.status).toBe("FAILED")
  })

  it("take hyper-parameters as parameters; a directory without events is refused", async () => {
    const directory = join(folder, "hparams")
    cpSync(real, directory, { recursive: true })
    const tracker = await runtime.runPromise(RunTracker.RunTracker)
    const options = { experiment: "imports" }
    const { run } = await Effect.runPromise(TensorBoard.importRun(directory, tracker, options))
    expect(run).toMatchObject({
      name: "hparams",
      status: "FINISHED",
      params: { rate: "0.5", optimizer: "adam", deep: "true" },
      metrics: { loss: Math.fround(0.2), auc: 0.875 },
    })
    await expect(
      Effect.runPromise(TensorBoard.importRun(join(folder, "blobs"), tracker, options)),
    ).rejects.toMatchObject({ reason: "NotFound", field: "directory" })
  })

  it("are exported while they run; a directory that cannot be written does not stop them", async () => {
    const directory = join(folder, "live")
    const run = (target: string) =>
      runtime.runPromise(
        Effect.scoped(
          Effect.gen(function* () {
            const tracker = yield* TensorBoard.exportLive(yield* RunTracker.RunTracker, {
              directory: target,
            })
            const { runId } = yield* tracker.startRun({ experiment: "live", params: { rate: 0.1 } })
            const metrics = [1, 2, 3].map((step) => ({ key: "loss", value: 1 / step, step }))
            yield* Effect.forEach(metrics, (metric) => tracker.log(runId, { metrics: [metric] }), {
              concurrency: "unbounded",
            })
            const files = yield* Effect.orElseSucceed(
              TensorBoard.filesOf(join(target, runId)),
              () => [],
            )
            const during = yield* Effect.forEach(files, (f) =>
              Stream.runCollect(TensorBoard.read(f)),
            )
            const ended = yield* tracker.finishRun(runId, "FAILED")
            return { files, during: during.flat(), ended }
          }),
        ),
      )
    const { files, during, ended } = await run(directory)
    expect(files).toHaveLength(1)
    expect(
      scalarsOf(during)
        .map(([, step]) => Number(step))
        .toSorted((a, b) => a - b),
    ).toEqual([1, 2, 3])
    expect(during.find((event) => event.hparams)?.hparams?.params).toEqual({ rate: 0.1 })
    expect(ended.status).toBe("FAILED")
    const [file = ""] = files
    expect((await collect(file)).at(-1)?.hparams?.status).toBe("FAILURE")
    // A file where the directory should be: nothing can be written below it.
    writeFileSync(join(folder, "blocked"), "")
    const blocked = await run(join(folder, "blocked"))
    expect([blocked.files, blocked.ended.metrics["loss"]]).toEqual([[], 1 / 3])
  })
})
