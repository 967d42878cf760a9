import * as Fs from "@ashlar/core/fs"
import * as Sqlite from "@ashlar/core/sqlite"
import { ModelPorts, Models, Runs } from "@ashlar/registry"
import { ModelPackage, ModelSource } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { afterAll, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-registry-crash-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const cache = join(folder, "cache")
const environment = Layer.mergeAll(
  Runs.layer,
  ModelPorts.sourceLayer({ cache }).pipe(Layer.provideMerge(Models.layer)),
).pipe(
  Layer.provide([
    Sqlite.layer({ file: join(folder, "registry.sqlite") }),
    Fs.layer({ directory: join(folder, "blobs") }),
  ]),
)

interface Said {
  readonly run?: string
  readonly batch?: number
  readonly version?: number
}

/** Starts the writer, kills it once it has said enough, and returns what it said. */
const killed = (attempt: number, after: number): Promise<ReadonlyArray<Said>> =>
  new Promise((resolve, reject) => {
    const script = fileURLToPath(new URL("fixtures/writer.ts", import.meta.url))
    const child = spawn(process.execPath, [script, folder, String(attempt)], {
      stdio: ["ignore", "pipe", "inherit"],
    })
    const said: Array<Said> = []
    createInterface({ input: child.stdout }).on("line", (line) => {
      said.push(JSON.parse(line))
      const versions = said.filter(({ version }) => version !== undefined).length
      if (said.length >= after && versions >= 2) child.kill("SIGKILL")
    })
    child.on("error", reject)
    child.on("close", () => resolve(said))
  })

it("loses nothing it acknowledged and leaves nothing half-written when it is killed", async () => {
  for (const attempt of [0, 1, 2]) {
    const said = await killed(attempt, 10 + attempt * 7)
    await Effect.runPromise(
      Effect.gen(function* () {
        const runs = yield* Runs.Runs
        const models = yield* Models.Models
        const source = yield* ModelSource.ModelSource
        const acknowledged = said.filter(({ batch }) => batch !== undefined).length
        const run = yield* runs.get(said.find(({ run: id }) => id !== undefined)?.run ?? "")
        const written = Object.keys(run.params).length
        expect(written).toBeGreaterThanOrEqual(acknowledged)
        expect(written).toBeLessThanOrEqual(acknowledged + 1)
        for (let i = 0; i < 50; i++) {
          expect(yield* runs.history(run.runId, `m${i}`)).toHaveLength(written)
          expect(run.latest[`m${i}`]?.step).toBe(written - 1)
        }
        const versions = yield* models.versions("killed")
        for (const { version } of said) {
          if (version !== undefined) expect(versions.some((v) => v.version === version)).toBe(true)
        }
        expect(versions.map(({ version }) => version).toSorted((a, b) => a - b)).toEqual(
          versions.map((_, i) => i + 1),
        )
        // Every version that is listed has all its content.
        for (const { name, version } of versions) {
          const found = yield* source.resolve({ name, version })
          yield* ModelPackage.verify(found.package)
        }
        yield* models.verifyAudit
      }).pipe(Effect.provide(environment)),
    )
  }
}, 120_000)

it("clears away what a killed process left in the model cache, and not what is being written", async () => {
  const old = join(cache, `${"a".repeat(64)}.123.456.part`)
  const young = join(cache, `${"b".repeat(64)}.123.456.part`)
  for (const directory of [old, young]) mkdirSync(directory, { recursive: true })
  const longAgo = Date.now() / 1000 - 7200
  utimesSync(old, longAgo, longAgo)
  await Effect.runPromise(
    Effect.gen(function* () {
      const models = yield* Models.Models
      const version = yield* models.resolve({ name: "killed", version: 1 })
      const { directory } = yield* models.fetch(version, cache)
      rmSync(directory, { recursive: true })
      yield* models.fetch(version, cache)
    }).pipe(Effect.provide(environment)),
  )
  expect(existsSync(old)).toBe(false)
  expect(existsSync(young)).toBe(true)
})
