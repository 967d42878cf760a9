import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Sqlite from "@ashlar/core/sqlite"
import { RunTracker } from "@ashlar/core"
import { Client, Tracking } from "@ashlar/registry"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { byChance, type Fault, startProxy } from "./fixtures/client/proxy.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-client-"))
const stores = Layer.merge(
  Sqlite.layer({ file: join(folder, "registry.sqlite") }),
  Fs.layer({ directory: join(folder, "blobs") }),
)
const services = Mlflow.services.pipe(Layer.provideMerge(stores))
const runtime = ManagedRuntime.make(services)
let server: HttpKit.Server
beforeAll(async () => {
  server = await HttpKit.makeServer({
    auth: "off-on-loopback",
    register: (app) => app.register(Mlflow.plugin, { runtime }),
  })
})
afterAll(async () => {
  await server.drain()
  await runtime.dispose()
  rmSync(folder, { recursive: true, force: true })
})

const use = <A, E>(
  layer: Layer.Layer<Tracking.Tracking, unknown>,
  body: (tracking: Tracking.Shape) => Effect.Effect<A, E>,
) => Effect.runPromise(Effect.flatMap(Tracking.Tracking, body).pipe(Effect.provide(layer)))

const layers = {
  "in this process": () => Layer.provide(Client.local(), services),
  "in this process, by a journal": () =>
    Layer.provide(Client.local({ journal: { directory: join(folder, "j-local") } }), services),
  remote: () => Client.remote({ url: server.url }),
  "remote, by a journal": () =>
    Client.remote({ url: server.url, journal: { directory: join(folder, "j-remote") } }),
}

describe.each(Object.entries(layers))("a client %s", (name, layer) => {
  const experiment = `client-${name.replaceAll(/\W+/g, "-")}`

  it("records a run and reads it back", async () => {
    const seen = await use(layer(), (tracking) =>
      Effect.gen(function* () {
        const start = {
          experiment,
          key: "it's a key",
          name: "trial",
          params: { rate: 0.1, deep: true },
          tags: { kind: "gbdt" },
          codeVersion: "abc",
          seed: 7,
        }
        const { runId } = yield* tracking.startRun(start)
        const again = yield* tracking.startRun(start)
        const points = Array.from({ length: 2500 }, (_, step) => ({
          key: "loss",
          value: step === 3 ? Number.NaN : 1 / (step + 1),
          step,
          time: 1_000_000 + step * 1000,
        }))
        const params = Object.fromEntries(Array.from({ length: 250 }, (_, i) => [`p${i}`, i]))
        yield* tracking.log(runId, { metrics: points, params, tags: { "note/a b": "späť" } })
        const done = yield* tracking.finish(runId, "FINISHED")
        const found = yield* tracking.find(experiment, "it's a key")
        const none = yield* tracking.find(experiment, "another")
        const page = yield* tracking.search({
          experiments: [experiment, "no such experiment"],
          filter: "metrics.loss < 1 AND params.rate = '0.1'",
        })
        const empty = yield* tracking.search({ experiments: ["no such experiment"] })
        const history = yield* tracking.history(runId, "loss")
        yield* tracking.flush
        const backlog = yield* tracking.backlog
        return { runId, again, done, found, none, page, empty, history, backlog, points }
      }),
    )
    expect(seen.again.runId).toBe(seen.runId)
    expect(seen.done).toMatchObject({
      runId: seen.runId,
      name: "trial",
      status: "FINISHED",
      params: { rate: "0.1", deep: "true", p0: "0", p249: "249" },
      tags: {
        kind: "gbdt",
        "note/a b": "späť",
        "mlflow.source.git.commit": "abc",
        "ashlar.seed": "7",
      },
    })
    expect(seen.done.ended).toBeGreaterThan(seen.done.started - 1_000_000)
    expect(seen.done.latest["loss"]).toMatchObject({ step: 2499, time: 3_499_000 })
    expect(seen.found?.runId).toBe(seen.runId)
    expect(seen.none).toBeUndefined()
    expect(seen.page.items.map(({ runId }) => runId)).toEqual([seen.runId])
    expect(seen.empty.items).toEqual([])
    expect(seen.history).toEqual(seen.points.map(({ key: _, ...point }) => point))
    expect(seen.backlog).toEqual({ pending: 0, refused: 0 })
  })

  it("refuses what the rules refuse, before it is sent, with the field", async () => {
    const errors = await use(layer(), (tracking) =>
      Effect.gen(function* () {
        const { runId } = yield* tracking.startRun({ experiment })
        return [
          yield* Effect.flip(tracking.log(runId, { metrics: [{ key: "../x", value: 1 }] })),
          yield* Effect.flip(tracking.log(runId, { params: { long: "x".repeat(6001) } })),
          yield* Effect.flip(tracking.log(runId, { metrics: [{ key: "a", value: 1, step: 0.5 }] })),
          yield* Effect.flip(tracking.logArtifact(runId, { path: "../../etc", file: folder })),
          yield* Effect.flip(tracking.get("nothing")),
          yield* Effect.flip(tracking.search({ experiments: [experiment], filter: "what is" })),
        ]
      }),
    )
    expect(errors.map(({ reason, field }) => [reason, field])).toEqual([
      ["InvalidInput", "metrics.../x"],
      ["InvalidInput", "params.long"],
      ["InvalidInput", "metrics.a"],
      ["InvalidInput", "path"],
      // Fields do not come over MLflow's wire.
      ["NotFound", name.startsWith("remote") ? undefined : "run_id"],
      ["InvalidInput", name.startsWith("remote") ? undefined : "filter"],
    ])
  })

  it("tells who is wrong and lets the others pass", async () => {
    const seen = await use(layer(), (tracking) =>
      Effect.gen(function* () {
        const { runId } = yield* tracking.startRun({ experiment, params: { rate: 1 } })
        const logs = yield* Effect.forEach(
          Array.from({ length: 20 }, (_, i) => i),
          (i) =>
            Effect.result(
              tracking.log(runId, {
                metrics: [{ key: "m", value: i, step: i }],
                params: i === 7 ? { rate: 2 } : { [`p${i}`]: i },
              }),
            ),
          { concurrency: "unbounded" },
        )
        const flushed = yield* Effect.result(tracking.flush)
        const run = yield* tracking.get(runId)
        const { refused } = yield* tracking.backlog
        return { logs, flushed, run, refused, points: yield* tracking.history(runId, "m") }
      }),
    )
    expect(seen.run.params["rate"]).toBe("1")
    expect(Object.keys(seen.run.params)).toHaveLength(20)
    // A batch is whole or not there.
    expect(seen.points).toHaveLength(19)
    expect(seen.refused).toBe(1)
    const wrong = name.includes("journal")
      ? [seen.flushed]
      : seen.logs.filter(({ _tag }) => _tag === "Failure")
    expect(wrong).toMatchObject([
      { _tag: "Failure", failure: { message: expect.stringContaining("Changing param values") } },
    ])
    expect(seen.logs.filter(({ _tag }) => _tag === "Failure")).toHaveLength(
      name.includes("journal") ? 0 : 1,
    )
  })

  it("is core's run tracker", async () => {
    const run = await Effect.runPromise(
      Effect.gen(function* () {
        const tracker = yield* RunTracker.RunTracker
        const { runId } = yield* tracker.startRun({ experiment, key: "port" })
        yield* tracker.log(runId, { metrics: [{ key: "auc", value: 0.7 }] })
        yield* tracker.finishRun(runId, "FAILED")
        const wrong = yield* Effect.flip(tracker.getRun("nothing"))
        expect([wrong._tag, wrong.reason]).toEqual(["RunTrackerError", "NotFound"])
        return yield* tracker.findRun(experiment, "port")
      }).pipe(Effect.provide(Layer.provide(Client.trackerLayer, layer()))),
    )
    expect(run).toMatchObject({ status: "FAILED", metrics: { auc: 0.7 } })
  })
})

describe("a remote client", () => {
  const through = async <A, E>(
    fault: (path: string, count: number) => Fault,
    options: Omit<Parameters<typeof Client.remote>[0], "url">,
    body: (tracking: Tracking.Shape) => Effect.Effect<A, E>,
  ) => {
    const proxy = await startProxy(server.url, fault)
    try {
      const value = await use(Client.remote({ backoffMs: 5, ...options, url: proxy.url }), body)
      return { value, sent: proxy.sent }
    } finally {
      await proxy.close()
    }
  }

  it("comes through a server that is busy, cuts connections and loses answers", async () => {
    const { value } = await through(byChance(7), { retries: 12 }, (tracking) =>
      Effect.gen(function* () {
        const { runId } = yield* tracking.startRun({ experiment: "faulty", params: { a: 1 } })
        for (let step = 0; step < 30; step++) {
          yield* tracking.log(runId, {
            metrics: [{ key: "m", value: step, step }],
            params: { [`p${step}`]: step },
            tags: { last: String(step) },
          })
        }
        const run = yield* tracking.finish(runId, "FINISHED")
        return { run, history: yield* tracking.history(runId, "m") }
      }),
    )
    expect(value.history.map(({ step }) => step)).toEqual(Array.from({ length: 30 }, (_, i) => i))
    expect(Object.keys(value.run.params)).toHaveLength(31)
    expect(value.run.tags["last"]).toBe("29")
  })

  it("gives up with a typed error that names the request and not the token", async () => {
    const { value } = await through(
      (path) => (path.includes("log-batch") ? 503 : "none"),
      { retries: 2 },
      (tracking) =>
        Effect.gen(function* () {
          const { runId } = yield* tracking.startRun({ experiment: "faulty" })
          const error = yield* Effect.flip(tracking.log(runId, { tags: { a: "b" } }))
          return { error, backlog: yield* tracking.backlog }
        }),
    )
    expect(value.error).toMatchObject({
      reason: "Unavailable",
      message: expect.stringMatching(/POST .*log-batch.* 503/),
    })
    expect(value.backlog).toMatchObject({ pending: 0, failing: { reason: "Unavailable" } })
  })

  it("joins what waits and keeps the order of each run", async () => {
    const { value, sent } = await through(
      () => "none",
      {},
      (tracking) =>
        Effect.gen(function* () {
          const { runId } = yield* tracking.startRun({ experiment: "order" })
          yield* Effect.forEach(
            Array.from({ length: 5000 }, (_, i) => i),
            (i) =>
              tracking.log(runId, {
                metrics: [{ key: "m", value: i, step: i }],
                tags: { last: String(i) },
              }),
            { concurrency: "unbounded", discard: true },
          )
          return yield* tracking.get(runId)
        }),
    )
    const batches = sent.filter(({ path }) => path.includes("log-batch"))
    expect(batches.length).toBeLessThan(20)
    const steps = batches.flatMap(({ body }): ReadonlyArray<number> => {
      const { metrics } = JSON.parse(body)
      expect(metrics.length).toBeLessThanOrEqual(1000)
      return metrics.map(({ step }: { readonly step: number }) => step)
    })
    expect(steps).toEqual(Array.from({ length: 5000 }, (_, i) => i))
    expect(value.tags["last"]).toBe("4999")
  })

  it("holds callers back when the queue is full, and forgets nothing when it closes", async () => {
    let broken = true
    let runId = ""
    const { value } = await through(
      (path) => (broken && path.includes("log-batch") ? 503 : "none"),
      { acknowledge: "queued", maxQueued: 100, retries: 1000 },
      (tracking) =>
        Effect.gen(function* () {
          runId = (yield* tracking.startRun({ experiment: "full" })).runId
          let taken = 0
          const writer = yield* Effect.forkChild(
            Effect.gen(function* () {
              for (let step = 0; step < 300; step++) {
                yield* tracking.log(runId, { metrics: [{ key: "m", value: step, step }] })
                taken += 1
              }
            }),
          )
          yield* Effect.sleep(200)
          const held = taken
          broken = false
          yield* Fiber.join(writer)
          return held
        }),
    )
    expect(value).toBe(100)
    const history = await use(Client.remote({ url: server.url }), (tracking) =>
      tracking.history(runId, "m"),
    )
    expect(history).toHaveLength(300)
  })

  it("refuses addresses that are none, and answers that are not MLflow's", async () => {
    for (const url of ["ftp://x", "nonsense", "http://user:secret@host"]) {
      const error = await Effect.runPromise(
        Effect.flip(Effect.scoped(Layer.build(Client.remote({ url })))),
      )
      expect(error).toMatchObject({ reason: "InvalidInput", field: "url" })
      expect(error.message).not.toContain("secret")
    }
    const error = await use(
      Client.remote({ url: `${server.url}/healthz`, retries: 0 }),
      (tracking) => Effect.flip(tracking.get("x")),
    )
    expect(["NotFound", "Unavailable"]).toContain(error.reason)
  })
})
