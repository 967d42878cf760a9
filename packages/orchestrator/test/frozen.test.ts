import { setTimeout as delay } from "node:timers/promises"
import { Database } from "@ashlar/core"
import { Orchestrator, Workflow } from "@ashlar/orchestrator"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import fc from "fast-check"
import { sql } from "kysely"
import { afterAll, describe, expect, it } from "vitest"
import { Databases, type Fresh } from "./support/databases.ts"
import { mortal } from "./support/mortal.ts"

const databases = new Databases()
afterAll(() => databases[Symbol.asyncDispose]())

/** Steps in a row, steps side by side, or one step that takes so many milliseconds. */
type Graph =
  | { readonly row: ReadonlyArray<Graph> }
  | { readonly side: ReadonlyArray<Graph> }
  | { readonly millis: number }

const { graph } = fc.letrec<{ graph: Graph; leaf: Graph }>((tie) => ({
  leaf: fc.record({ millis: fc.integer({ min: 0, max: 4 }) }),
  graph: fc.oneof(
    { maxDepth: 2, depthSize: "small", withCrossShrink: true },
    tie("leaf"),
    fc.record({ row: fc.array(tie("graph"), { minLength: 1, maxLength: 4 }) }),
    fc.record({ side: fc.array(tie("graph"), { minLength: 2, maxLength: 5 }) }),
  ),
}))

/** When each process freezes: at which of its writes, and whether that one is committed. */
const deaths = fc.array(
  fc.record({ writes: fc.integer({ min: 1, max: 12 }), after: fc.boolean(), early: fc.boolean() }),
  { minLength: 1, maxLength: 3 },
)

const leavesOf = (node: Graph): number => {
  if ("millis" in node) return 1
  return ("row" in node ? node.row : node.side).reduce((sum, child) => sum + leavesOf(child), 0)
}

interface Watcher {
  /** The run was claimed; what is journaled now was finished before. */
  readonly claimed: (epoch: number) => Effect.Effect<void>
  readonly begun: (epoch: number, step: string) => void
}

const workflowOf = (root: Graph, watch: Watcher) =>
  Workflow.make({
    name: "random",
    version: "1",
    input: Schema.Null,
    output: Schema.Number,
    run: (_, { step, epoch }) => {
      const visit = (
        node: Graph,
        path: string,
      ): Effect.Effect<number, Orchestrator.OrchestratorError> => {
        if ("millis" in node) {
          const work = Effect.suspend(() => {
            watch.begun(epoch, path)
            return Effect.as(Effect.sleep(node.millis), 1)
          })
          return step({ name: path, output: Schema.Number }, work)
        }
        const side = "side" in node
        const children = side ? node.side : node.row
        return Effect.map(
          Effect.forEach(children, (child, i) => visit(child, `${path}.${i}`), {
            concurrency: side ? "unbounded" : 1,
          }),
          (sums) => sums.reduce((a, b) => a + b, 0),
        )
      }
      return Effect.andThen(watch.claimed(epoch), visit(root, "root"))
    },
  })

const journaled = sql<{ name: string; epoch: number }>`
  select name, epoch from orchestrator_step where state = 'succeeded'`

const live = async (
  database: Fresh,
  root: Graph,
  lives: ReadonlyArray<{ writes: number; after: boolean; early: boolean }>,
): Promise<number> => {
  const observer = ManagedRuntime.make(database.layer)
  const finished = new Map<number, ReadonlySet<string>>()
  const begun: Array<{ step: string; epoch: number; newest: number }> = []
  const read = () =>
    observer.runPromise(Effect.flatMap(Database.Database, (db) => db.all(journaled)))
  const workflow = workflowOf(root, {
    claimed: (epoch) =>
      Effect.promise(async () => {
        finished.set(epoch, new Set((await read()).map((row) => row.name)))
      }),
    begun: (epoch, step) => {
      begun.push({ step, epoch, newest: Math.max(...finished.keys()) })
    },
  })
  const execute = (layer: typeof database.layer) =>
    Effect.runFork(
      Effect.flatMap(Orchestrator.Orchestrator, (orchestrator) =>
        orchestrator.execute(workflow, { key: "k", input: null }),
      ).pipe(
        Effect.provide(Orchestrator.layer({ leaseMs: 60, pollMs: 3 }).pipe(Layer.provide(layer))),
      ),
    )

  const processes: Array<Fiber.Fiber<number, unknown>> = []
  const frozen: Array<() => void> = []
  let freezes = 0
  for (const { writes, after, early } of lives) {
    const life = mortal(database.layer, writes, after)
    const fiber = execute(life.layer)
    processes.push(fiber)
    while (!life.frozen() && fiber.pollUnsafe() === undefined) await delay(1)
    if (life.frozen()) freezes += 1
    if (early) setTimeout(life.thaw, 90)
    else frozen.push(life.thaw)
  }
  const last = execute(database.layer)
  const result = await Effect.runPromise(Effect.exit(Fiber.join(last)))
  for (const thaw of frozen) thaw()
  for (const exit of [
    result,
    ...(await Promise.all(processes.map((fiber) => Effect.runPromise(Fiber.await(fiber))))),
  ]) {
    // A process that lost the run says so; nobody gets a wrong result.
    if (Exit.isSuccess(exit)) expect(exit.value).toBe(leavesOf(root))
    else expect(String(exit.cause)).toContain("taken over")
  }
  const final = await read()
  await observer.dispose()

  expect(final.length).toBe(leavesOf(root))
  for (const [epoch, before] of finished) {
    // A stale epoch journaled nothing after the claim of a newer one.
    const older = final.filter((row) => row.epoch < epoch).map((row) => row.name)
    expect(older.filter((step) => !before.has(step))).toEqual([])
    // No finished step was begun again.
    const repeated = begun.filter((b) => b.epoch === epoch && before.has(b.step))
    expect(repeated).toEqual([])
  }
  // Who woke up after a newer claim began nothing.
  expect(begun.filter((b) => b.epoch < b.newest)).toEqual([])
  return freezes
}

describe.each([
  ["sqlite", 40],
  ["postgres", 15],
] as const)("processes that freeze at random points, on %s", (kind, numRuns) => {
  it("the run ends right, no finished step is done again, no late write counts", async () => {
    let freezes = 0
    await fc.assert(
      fc.asyncProperty(graph, deaths, async (root, lives) => {
        freezes += await live(await databases.fresh(kind), root, lives)
      }),
      { numRuns, seed: 20_261_122, endOnFailure: true },
    )
    expect(freezes).toBeGreaterThan(numRuns / 2)
  })
})
