import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Sqlite from "@ashlar/core/sqlite"
import { Client, Runs, Tracking } from "@ashlar/registry"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { spawn } from "node:child_process"
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { crc32 } from "node:zlib"
import { afterAll, beforeAll, expect, it } from "vitest"
import { byChance, type Fault, type Proxy, startProxy } from "./fixtures/client/proxy.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-journal-"))
const services = Mlflow.services.pipe(
  Layer.provideMerge(
    Layer.merge(
      Sqlite.layer({ file: join(folder, "registry.sqlite") }),
      Fs.layer({ directory: join(folder, "blobs") }),
    ),
  ),
)
const runtime = ManagedRuntime.make(services)
let server: HttpKit.Server
let proxy: Proxy
let fault: (path: string, count: number) => Fault = () => "none"
beforeAll(async () => {
  server = await HttpKit.makeServer({
    auth: "off-on-loopback",
    register: (app) => app.register(Mlflow.plugin, { runtime }),
  })
  proxy = await startProxy(server.url, (path, count) => fault(path, count))
})
afterAll(async () => {
  await proxy.close()
  await server.drain()
  await runtime.dispose()
  rmSync(folder, { recursive: true, force: true })
})

const use = <A, E>(
  layer: Layer.Layer<Tracking.Tracking, unknown>,
  body: (tracking: Tracking.Shape) => Effect.Effect<A, E>,
) => Effect.runPromise(Effect.flatMap(Tracking.Tracking, body).pipe(Effect.provide(layer)))

const through = (directory: string, closeMs = 5000) =>
  Client.remote({
    url: proxy.url,
    journal: { directory: join(folder, directory), backoffMs: 10, closeMs },
  })

const runsOf = (experiment: string) =>
  runtime.runPromise(
    Effect.gen(function* () {
      const runs = yield* Runs.Runs
      return (yield* runs.list(experiment)).items
    }),
  )
const historyOf = (runId: string, metric: string) =>
  runtime.runPromise(
    Effect.gen(function* () {
      const runs = yield* Runs.Runs
      return yield* runs.history(runId, metric)
    }),
  )

it("works without the server, and brings everything when it is back, once", async () => {
  fault = () => "cut"
  const offline = await use(through("offline", 10), (tracking) =>
    Effect.gen(function* () {
      const parent = yield* tracking.startRun({ experiment: "offline", params: { rate: 0.1 } })
      const child = yield* tracking.startRun({
        experiment: "offline",
        parentRunId: parent.runId,
        name: "child",
      })
      for (let step = 0; step < 100; step++) {
        for (const { runId } of [parent, child]) {
          yield* tracking.log(runId, {
            metrics: [
              { key: "m", value: step, step },
              { key: "nan", value: Number.NaN, step },
            ],
            tags: { last: String(step) },
          })
        }
      }
      const done = yield* tracking.finish(child.runId, "FAILED")
      const error = yield* Effect.flip(tracking.get(child.runId))
      const backlog = yield* tracking.backlog
      return { parent, child, done, error, backlog }
    }),
  )
  expect(offline.done).toMatchObject({ status: "FAILED", name: "child" })
  expect(offline.error.reason).toBe("Unavailable")
  expect(offline.backlog).toMatchObject({ pending: 203, failing: { reason: "Unavailable" } })

  // Answers get lost on the way back, so that much is delivered twice.
  fault = byChance(3)
  const online = await use(through("offline"), (tracking) =>
    Effect.gen(function* () {
      while (true) {
        if ((yield* Effect.result(tracking.flush))._tag === "Success") break
        yield* Effect.sleep(10)
      }
      fault = () => "none"
      return {
        backlog: yield* tracking.backlog,
        // The ids given offline still serve.
        parent: yield* tracking.get(offline.parent.runId),
        child: yield* tracking.get(offline.child.runId),
      }
    }),
  )
  expect(online.backlog).toEqual({ pending: 0, refused: 0 })
  const runs = await runsOf("offline")
  expect(runs).toHaveLength(2)
  expect(online.child).toMatchObject({ status: "FAILED", name: "child" })
  expect(online.parent).toMatchObject({ status: "RUNNING", params: { rate: "0.1" } })
  expect(online.child.tags["mlflow.parentRunId"]).toBe(online.parent.runId)
  expect(Math.abs((online.child.ended ?? 0) - (offline.done.ended ?? 0))).toBeLessThan(1000)
  for (const { runId, tags } of runs) {
    expect((await historyOf(runId, "m")).map(({ value }) => value)).toEqual(
      Array.from({ length: 100 }, (_, i) => i),
    )
    expect(await historyOf(runId, "nan")).toHaveLength(100)
    expect(tags["last"]).toBe("99")
  }
  // Nothing is delivered again by the next client.
  const before = proxy.sent.length
  await use(through("offline"), (tracking) => tracking.flush)
  expect(proxy.sent.length).toBe(before)
}, 60_000)

it("keeps files that are logged offline as they were", async () => {
  const directory = join(folder, "files-journal")
  const file = join(folder, "model.bin")
  writeFileSync(file, "first")
  const down = Layer.provide(Client.local({ journal: { directory, backoffMs: 10 } }), services)
  const runId = await use(down, (tracking) =>
    Effect.gen(function* () {
      const run = yield* tracking.startRun({ experiment: "files" })
      yield* tracking.logArtifact(run.runId, { path: "models/a.bin", file })
      writeFileSync(file, "second")
      yield* tracking.logArtifact(run.runId, { path: "models/b.bin", file })
      writeFileSync(file, "third")
      yield* tracking.finish(run.runId, "FINISHED")
      return run.runId
    }),
  )
  await use(Layer.provide(Client.local(), services), (tracking) =>
    Effect.gen(function* () {
      const files = yield* tracking.artifacts(runId)
      expect(files.map(({ path, size }) => [path, size])).toEqual([
        ["models/a.bin", 5],
        ["models/b.bin", 6],
      ])
      yield* tracking.download(runId, "models/a.bin", join(folder, "a.bin"))
      const error = yield* Effect.flip(
        tracking.download(runId, "models/b.bin", join(folder, "b.bin"), { limit: 5 }),
      )
      expect(error).toMatchObject({ reason: "InvalidInput", field: "path" })
      const missing = yield* Effect.flip(tracking.download(runId, "models/c.bin", "c.bin"))
      expect(missing.reason).toBe("NotFound")
    }),
  )
  expect(readFileSync(join(folder, "a.bin"), "utf8")).toBe("first")
  expect(readdirSync(folder).filter((name) => name.startsWith("b.bin"))).toEqual([])
  // Delivered copies are gone.
  expect(readdirSync(join(directory, "files"))).toEqual([])
})

it("keeps what the store refuses, with the reason, and goes on", async () => {
  fault = () => "cut"
  await use(through("refused", 10), (tracking) =>
    Effect.gen(function* () {
      const { runId } = yield* tracking.startRun({ experiment: "refused", params: { rate: 1 } })
      yield* tracking.log(runId, { params: { rate: 2 } })
      yield* tracking.log(runId, { metrics: [{ key: "m", value: 1 }] })
      const bad = yield* tracking.startRun({ experiment: "no / such name \u0000".repeat(40) })
      yield* tracking.log(bad.runId, { tags: { a: "b" } })
    }),
  )
  fault = () => "none"
  const seen = await use(through("refused"), (tracking) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(tracking.flush)
      return { error, backlog: yield* tracking.backlog, again: yield* Effect.exit(tracking.flush) }
    }),
  )
  expect(seen.again._tag).toBe("Success")
  expect(seen.backlog).toEqual({ pending: 0, refused: 3 })
  const lines = readFileSync(join(folder, "refused/refused"), "utf8").trim().split("\n")
  const refused = lines.map((line): string => JSON.parse(line).operation.op)
  expect(refused.toSorted((a, b) => (a < b ? -1 : 1))).toEqual(["log", "log", "start"])
  const [run] = await runsOf("refused")
  expect(run).toMatchObject({ params: { rate: "1" }, metrics: { m: 1 } })
})

it("drops a record that was cut off, and reports any other damage", async () => {
  fault = () => "cut"
  const directory = join(folder, "torn")
  const write = (batches: number) =>
    use(through("torn", 1), (tracking) =>
      Effect.gen(function* () {
        const { runId } = yield* tracking.startRun({ experiment: "torn", key: "one" })
        for (let i = 0; i < batches; i++) yield* tracking.log(runId, { tags: { last: String(i) } })
      }),
    )
  await write(3)
  const file = join(directory, "journal")
  const whole = statSync(file).size
  appendFileSync(file, `deadbeef {"op":"log","run":"${"x".repeat(5000)}`)
  await write(2)
  const text = readFileSync(file, "utf8")
  expect(text.slice(0, whole)).not.toContain("deadbeef")
  expect(text).not.toContain("xxxx")
  expect(text.split("\n").filter((line) => line.includes('"log"'))).toHaveLength(5)
  // A power cut can leave half of the last group.
  truncateSync(file, statSync(file).size - 5)
  await write(0)
  writeFileSync(file, text.replace('"last":"1"', '"last":"7"'))
  const error = await Effect.runPromise(Effect.flip(Effect.scoped(Layer.build(through("torn", 1)))))
  expect(error).toMatchObject({ reason: "Corrupt", field: "journal" })
  expect(error.message).toContain("damaged at byte")
})

it("belongs to one process, and says how full it may be", async () => {
  fault = () => "cut"
  const directory = join(folder, "owned")
  const options = { url: proxy.url, journal: { directory, maxBytes: 2000, closeMs: 1 } }
  await use(Client.remote(options), (tracking) =>
    Effect.gen(function* () {
      const second = yield* Effect.flip(Effect.scoped(Layer.build(Client.remote(options))))
      expect(second).toMatchObject({ reason: "Conflict", field: "journal" })
      const { runId } = yield* tracking.startRun({ experiment: "owned" })
      const error = yield* Effect.flip(
        Effect.forever(tracking.log(runId, { tags: { note: "x".repeat(300) } })),
      )
      expect(error.message).toContain("raise maxBytes")
      expect(error.reason).toBe("Unavailable")
    }),
  )
})

it("delivers again what a crash hid, and changes nothing by it", async () => {
  const directory = join(folder, "again")
  const open = () => Layer.provide(Client.local({ journal: { directory } }), services)
  const file = join(folder, "again.bin")
  writeFileSync(file, "content")
  const runId = await use(open(), (tracking) =>
    Effect.gen(function* () {
      const { runId: id } = yield* tracking.startRun({ experiment: "again", key: "one" })
      for (let step = 0; step < 3; step++) {
        yield* tracking.log(id, {
          metrics: [{ key: "m", value: step, step }],
          tags: { last: String(step) },
        })
      }
      yield* tracking.logArtifact(id, { path: "again.bin", file })
      yield* tracking.finish(id, "FINISHED")
      yield* tracking.flush
      return id
    }),
  )
  const before = await runtime.runPromise(
    Effect.gen(function* () {
      const runs = yield* Runs.Runs
      yield* runs.log(runId, { tags: { last: "somebody else's" } }, { ended: "allow" })
      return yield* runs.get(runId)
    }),
  )
  // The process was killed before it could note the delivery, twice.
  const [, copy = ""] =
    /"copy":"([^"]+)"/.exec(readFileSync(join(directory, "journal"), "utf8")) ?? []
  for (const withCopy of [false, true]) {
    rmSync(join(directory, "delivered"))
    if (withCopy) writeFileSync(join(directory, "files", copy), "content")
    await use(open(), (tracking) =>
      Effect.gen(function* () {
        const { pending } = yield* tracking.backlog
        expect(pending).toBe(5)
        yield* tracking.flush
        expect(yield* tracking.backlog).toEqual({ pending: 0, refused: 0 })
        expect(yield* tracking.get(runId)).toEqual(before)
        expect(yield* tracking.history(runId, "m")).toHaveLength(3)
      }),
    )
  }
})

it("takes over from a process that was killed, also one with its own number", async () => {
  fault = () => "none"
  const gone = spawn(process.execPath, ["-e", ""])
  await new Promise((resolve) => gone.on("close", resolve))
  for (const owner of [`${gone.pid} 123`, `${process.pid} 1`, `${process.pid}`, "", "1 0"]) {
    const directory = join(folder, "taken")
    rmSync(directory, { recursive: true, force: true })
    mkdirSync(directory)
    writeFileSync(join(directory, "lock"), owner)
    await use(through("taken"), (tracking) => tracking.flush)
    expect(existsSync(join(directory, "lock"))).toBe(false)
  }
})

it("keeps a record of another version aside and delivers the rest", async () => {
  fault = () => "cut"
  const directory = join(folder, "version")
  await use(through("version", 1), (tracking) =>
    Effect.asVoid(tracking.startRun({ experiment: "version", key: "one" })),
  )
  const json = '{"op":"of another version"}'
  appendFileSync(
    join(directory, "journal"),
    `${crc32(json).toString(16).padStart(8, "0")} ${json}\n`,
  )
  fault = () => "none"
  const error = await use(through("version"), (tracking) => Effect.flip(tracking.flush))
  expect(error.message).toContain("this version cannot read")
  expect(readFileSync(join(directory, "refused"), "utf8")).toContain("of another version")
  expect(await runsOf("version")).toHaveLength(1)
})

it("starts a new file when everything was delivered, and still loses nothing", async () => {
  fault = () => "none"
  const directory = join(folder, "long")
  await use(through("long"), (tracking) =>
    Effect.gen(function* () {
      const { runId } = yield* tracking.startRun({ experiment: "long" })
      for (let round = 0; round < 8; round++) {
        yield* Effect.forEach(
          Array.from({ length: 400 }, (_, i) => i),
          (i) =>
            tracking.log(runId, {
              metrics: Array.from({ length: 10 }, (_, m) => ({
                key: `m${m}`,
                value: i,
                step: round * 400 + i,
              })),
            }),
          { concurrency: 50, discard: true },
        )
        if (round % 2 === 1) yield* tracking.flush
      }
      yield* tracking.flush
      expect((yield* tracking.history(runId, "m9")).length).toBe(3200)
    }),
  )
  expect(statSync(join(directory, "journal")).size).toBeLessThan(2 << 20)
}, 60_000)

it("loses nothing it acknowledged when it is killed, whatever the network does", async () => {
  for (const [round, after] of [12, 40, 90].entries()) {
    fault = byChance(round)
    const directory = join(folder, `killed-${round}`)
    const script = fileURLToPath(new URL("fixtures/client/logger.ts", import.meta.url))
    const child = spawn(process.execPath, [script, proxy.url, directory, `kill-${round}`], {
      stdio: ["ignore", "pipe", "inherit"],
    })
    const said: Array<{ readonly run?: string; readonly batch?: number }> = []
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout }).on("line", (line) => {
        said.push(JSON.parse(line))
        if (said.length >= after) child.kill("SIGKILL")
      })
      child.on("error", reject)
      child.on("close", () => resolve())
    })
    fault = () => "none"
    const acknowledged = said.filter(({ batch }) => batch !== undefined).length
    const runId = said[0]?.run ?? ""
    await use(
      Client.remote({ url: proxy.url, journal: { directory, backoffMs: 10 } }),
      (tracking) =>
        Effect.gen(function* () {
          yield* tracking.flush
          const run = yield* tracking.get(runId)
          const written = Object.keys(run.params).length
          expect(written).toBeGreaterThanOrEqual(acknowledged)
          for (let i = 0; i < 5; i++) {
            const points = yield* tracking.history(runId, `m${i}`)
            expect(points.map(({ step }) => step)).toEqual(
              Array.from({ length: written }, (_, step) => step),
            )
          }
          expect(run.tags["last"]).toBe(String(written - 1))
        }),
    )
  }
  expect(await runsOf("killed")).toHaveLength(3)
}, 120_000)
