import { Client, Tracking } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { byChance, startProxy } from "../fixtures/client/proxy.ts"
import { startMlflow, startOurs, type Started } from "./differential/servers.ts"

const servers = {
  "our server": startOurs,
  ...((process.env["ASHLAR_MLFLOW"] ?? "") === "" ? {} : { "the real mlflow server": startMlflow }),
}

describe.each(Object.entries(servers))("our client on %s", (_, start) => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-remote-"))
  let server: Started
  beforeAll(async () => {
    server = await start(folder)
  })
  afterAll(async () => {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  const use = <A, E>(
    options: Omit<Parameters<typeof Client.remote>[0], "url">,
    body: (tracking: Tracking.Shape) => Effect.Effect<A, E>,
    url = server.url,
  ) =>
    Effect.runPromise(
      Effect.flatMap(Tracking.Tracking, body).pipe(
        Effect.provide(Client.remote({ url, ...options })),
      ),
    )

  it("records runs with inputs and files, and reads them back", async () => {
    const files = join(folder, "files")
    mkdirSync(join(files, "sub folder"), { recursive: true })
    writeFileSync(join(files, "a.txt"), "a")
    writeFileSync(join(files, "sub folder/č 100%.bin"), Buffer.alloc(3_000_000, 7))
    const digest = `sha256:${"ab".repeat(32)}`
    const start = {
      experiment: "remote",
      key: "key 'one'",
      name: "trial",
      params: { rate: 0.1, trees: 100 },
      inputs: [
        { name: "train", uri: "s3://data/train.parquet", digest, rows: 10, context: "training" },
      ],
      codeVersion: "abc",
      seed: 7,
    }
    const seen = await use({}, (tracking) =>
      Effect.gen(function* () {
        const { runId } = yield* tracking.startRun(start)
        yield* tracking.log(runId, {
          metrics: [
            ...Array.from({ length: 2100 }, (_, step) => ({
              key: "loss",
              value: 1 / (step + 1),
              step,
            })),
            { key: "nan", value: Number.NaN },
            { key: "system/cpu", value: 3 },
          ],
          params: Object.fromEntries(Array.from({ length: 130 }, (_, i) => [`p${i}`, i])),
          tags: { note: "späť" },
        })
        yield* tracking.logArtifact(runId, { path: "out", file: files })
        const again = yield* tracking.startRun(start)
        const done = yield* tracking.finish(runId, "FINISHED")
        yield* tracking.download(runId, "out/sub folder/č 100%.bin", join(folder, "back.bin"))
        return {
          runId,
          again,
          done,
          inputs: yield* tracking.inputs(runId),
          artifacts: yield* tracking.artifacts(runId),
          history: yield* tracking.history(runId, "loss"),
          found: yield* tracking.find("remote", "key 'one'"),
          page: yield* tracking.search({ experiments: ["remote"], filter: "params.rate = '0.1'" }),
          missing: yield* Effect.flip(tracking.download(runId, "nothing", join(folder, "x"))),
          unknown: yield* Effect.flip(tracking.get("0".repeat(32))),
        }
      }),
    )
    expect(seen.again.runId).toBe(seen.runId)
    expect(seen.found?.runId).toBe(seen.runId)
    expect(seen.page.items.map(({ runId }) => runId)).toEqual([seen.runId])
    expect(seen.done).toMatchObject({
      name: "trial",
      status: "FINISHED",
      params: { rate: "0.1", trees: "100", p129: "129" },
      tags: { note: "späť", "mlflow.source.git.commit": "abc", "ashlar.seed": "7" },
      metrics: { loss: 1 / 2100, nan: Number.NaN, "system/cpu": 3 },
    })
    expect(seen.inputs).toEqual([
      { name: "train", uri: "s3://data/train.parquet", digest, rows: 10, context: "training" },
    ])
    expect(seen.artifacts.map(({ path, size }) => [path, size])).toEqual([
      ["out/a.txt", 1],
      ["out/sub folder/č 100%.bin", 3_000_000],
    ])
    expect(seen.history.map(({ step }) => step)).toEqual(Array.from({ length: 2100 }, (_, i) => i))
    expect(readFileSync(join(folder, "back.bin"))).toEqual(Buffer.alloc(3_000_000, 7))
    expect(seen.missing.reason).toBe("NotFound")
    expect(seen.unknown.reason).toBe("NotFound")
  }, 120_000)

  it("starts one run for a key, however many ask at once", async () => {
    const runs = await use({}, (tracking) =>
      Effect.gen(function* () {
        yield* tracking.startRun({ experiment: "races" })
        const started = yield* Effect.forEach(
          Array.from({ length: 8 }, (_, i) => i),
          () => tracking.startRun({ experiment: "races", key: "same" }),
          { concurrency: 8 },
        )
        const last = yield* tracking.startRun({ experiment: "races", key: "same" })
        const { items } = yield* tracking.search({
          experiments: ["races"],
          filter: "tags.`ashlar.key` = 'same'",
        })
        return { started, last, items }
      }),
    )
    expect(runs.items).toHaveLength(1)
    expect(runs.last.runId).toBe(runs.items[0]?.runId)
    // Who came second before the first was seen still got a run that stays, or the one that does.
    expect(runs.started.filter(({ runId }) => runId === runs.last.runId).length).toBeGreaterThan(0)
  }, 60_000)

  it("delivers a journal once in effect through a network that loses answers", async () => {
    const proxy = await startProxy(server.url, byChance(11))
    const directory = join(folder, "journal")
    const ids = await use(
      { journal: { directory, backoffMs: 10, closeMs: 1 }, backoffMs: 5 },
      (tracking) =>
        Effect.gen(function* () {
          const { runId } = yield* tracking.startRun({ experiment: "lossy", key: "one" })
          for (let step = 0; step < 200; step++) {
            yield* tracking.log(runId, {
              metrics: [{ key: "m", value: step, step }],
              params: { [`p${step}`]: step },
              tags: { last: String(step) },
            })
          }
          yield* tracking.finish(runId, "FINISHED")
          while ((yield* tracking.backlog).pending > 0) yield* Effect.ignore(tracking.flush)
          return (yield* tracking.backlog).refused
        }),
      proxy.url,
    )
    await proxy.close()
    expect(ids).toBe(0)
    const seen = await use({}, (tracking) =>
      Effect.gen(function* () {
        const { items } = yield* tracking.search({ experiments: ["lossy"] })
        const runId = items[0]?.runId ?? ""
        return { items, history: yield* tracking.history(runId, "m") }
      }),
    )
    expect(seen.items).toHaveLength(1)
    expect(seen.items[0]).toMatchObject({ status: "FINISHED", tags: { last: "199" } })
    expect(Object.keys(seen.items[0]?.params ?? {})).toHaveLength(200)
    expect(seen.history.map(({ value }) => value)).toEqual(Array.from({ length: 200 }, (_, i) => i))
  }, 120_000)
})
