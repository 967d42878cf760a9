import * as Fs from "@ashlar/core/fs"
import * as Sqlite from "@ashlar/core/sqlite"
import { Experiments, LoggedModels, Runs } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { afterAll, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-tracking-crash-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const environment = Layer.mergeAll(Experiments.layer, Runs.layer, LoggedModels.layer).pipe(
  Layer.provide([
    Sqlite.layer({ file: join(folder, "registry.sqlite") }),
    Fs.layer({ directory: join(folder, "blobs") }),
  ]),
)

interface Said {
  readonly experiment?: string
  readonly deleted?: boolean
  readonly model?: string
  readonly inputs?: string
  readonly measured?: string
  readonly run?: string
}

/** Starts the tracker, kills it once it has said enough, and returns what it said. */
const killed = (name: string, after: number): Promise<ReadonlyArray<Said>> =>
  new Promise((resolve, reject) => {
    const script = fileURLToPath(new URL("fixtures/tracker.ts", import.meta.url))
    const child = spawn(process.execPath, [script, folder, name], {
      stdio: ["ignore", "pipe", "inherit"],
    })
    const said: Array<Said> = []
    createInterface({ input: child.stdout }).on("line", (line) => {
      said.push(JSON.parse(line))
      if (said.length >= after) child.kill("SIGKILL")
    })
    child.on("error", reject)
    child.on("close", () => resolve(said))
  })

it("keeps experiments with their runs, and inputs and models whole, when it is killed", async () => {
  for (const [attempt, after] of [12, 14, 17, 21, 26].entries()) {
    const said = await killed(`killed-${attempt}`, after)
    const id = said[0]?.experiment ?? ""
    await Effect.runPromise(
      Effect.gen(function* () {
        const experiments = yield* Experiments.Experiments
        const runs = yield* Runs.Runs
        const models = yield* LoggedModels.LoggedModels
        const { deleted, tags } = yield* experiments.get(id)
        expect(tags).toEqual({ a: "1", b: "2" })
        const view = (yield* runs.search([id], { view: "all" })).items
        // An experiment is never deleted without its runs, nor restored without them.
        expect(view.length).toBeGreaterThanOrEqual(20)
        expect(view.map((run) => run.deleted !== undefined)).toEqual(
          view.map(() => deleted !== undefined),
        )
        for (const { model, inputs, measured, run } of said) {
          if (model !== undefined) expect((yield* models.get(model)).tags).toEqual({ d: "4" })
          if (inputs !== undefined) {
            const links = (yield* runs.links([inputs])).get(inputs)
            expect(links?.datasets).toHaveLength(10)
          }
          if (measured !== undefined && run !== undefined) {
            expect((yield* models.get(measured)).metrics).toHaveLength(1)
            expect(yield* runs.history(run, "m")).toHaveLength(1)
          }
        }
        // What was under way is there whole, or not at all.
        for (const { modelId, params, metrics } of (yield* models.search([id])).items) {
          expect([modelId, params]).toEqual([modelId, { a: "1", b: "2", c: "3" }])
          for (const { runId } of metrics) {
            expect(yield* runs.history(runId, "m")).toHaveLength(1)
          }
        }
        const links = yield* runs.links(view.map(({ runId }) => runId))
        for (const { datasets, modelInputs } of links.values()) {
          expect([datasets.length, modelInputs.length]).toEqual([10, 1])
          for (const { tags: ofDataset } of datasets) {
            expect(ofDataset).toEqual({ "mlflow.data.context": "training" })
          }
        }
      }).pipe(Effect.provide(environment)),
    )
  }
}, 120_000)
