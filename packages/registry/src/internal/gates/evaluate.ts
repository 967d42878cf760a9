import { type Database, Digest, ModelPackage, type PromotionGate, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Policy from "../../Policy.ts"
import { type RegistryError, notFound } from "../../RegistryError.ts"
import type { Aliases } from "../aliases.ts"
import type { VersionRow } from "../migrations/0006-models.ts"
import type { RequestRow, VoteRow } from "../migrations/0007-governance.ts"
import type { Policies } from "../policies.ts"
import { evaluationOf } from "../requests.ts"
import type { Store } from "../store.ts"
import * as Approvals from "./approvals.ts"
import * as Asked from "./asked.ts"
import * as Recorded from "./recorded.ts"
import { type GateResult, result } from "./result.ts"
import * as Signature from "./signature.ts"

type Failure = Database.DatabaseError | RegistryError

/** Everything that an evaluation rests on, read at one moment. */
export interface Snapshot {
  readonly request: RequestRow
  readonly version: VersionRow
  readonly policy: Policy.Policy | undefined
  /** Of the policy; empty without one. */
  readonly policyDigest: string
  /** The version that the target has. */
  readonly champion: number | undefined
  /** The gates to ask, each with the version that it compares with. */
  readonly gates: ReadonlyArray<{ readonly gate: Policy.Gate; readonly rival: number | undefined }>
  /** Equal when nothing changed that an evaluation rests on. */
  readonly basis: string
}

/** What was asked outside of the transaction. */
export interface Outside {
  /** By the gate's place in the policy. */
  readonly results: ReadonlyMap<number, GateResult>
  /** Comparisons to keep. */
  readonly compared: Asked.Compared
}

/** Looks at requests and asks their gates. */
export interface Gates {
  readonly snapshot: (request: RequestRow) => Effect.Effect<Snapshot, Failure>
  /** Asks the gates that ask others; comparisons that were made before are not made again. */
  readonly outside: (
    snapshot: Snapshot,
  ) => Effect.Effect<Outside, RegistryError | PromotionGate.PromotionGateError>
  /** Comparisons that were made before and still hold; signatures are verified now. */
  readonly remembered: Gates["outside"]
  /** Asks every gate, with the answers from outside; inside the transaction that moves. */
  readonly inside: (
    snapshot: Snapshot,
    outside: Outside,
    votes: ReadonlyArray<VoteRow>,
  ) => Effect.Effect<ReadonlyArray<GateResult>, Failure>
}

const decodeManifest = Schema.decodeUnknownOption(Schema.fromJsonString(ModelPackage.Manifest))
const decodeFiles = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Array(ModelPackage.PackageFile)),
)

const noPolicy = (target: string): GateResult =>
  result("policy", [{ name: "policy", passed: true, message: `no policy protects ${target}` }])

/** The gates of a store. */
export const make = Effect.fnUntraced(function* (
  store: Store,
  aliases: Aliases,
  policies: Policies,
): Effect.fn.Return<Gates> {
  const { db, build } = store
  const asked = yield* Asked.make
  const recorded = Recorded.make(store)

  const versionRow = Effect.fnUntraced(function* (name: string, version: number) {
    const row = yield* db.first(
      build
        .selectFrom("registry_version")
        .selectAll()
        .where("model", "=", name)
        .where("version", "=", version)
        .where("deleted", "is", null),
    )
    return row ?? (yield* notFound(`model ${name} version ${version}`))
  })

  const snapshot = Effect.fnUntraced(function* (request: RequestRow) {
    const { model, target, kind } = request
    const version = yield* versionRow(model, request.version)
    const policy = yield* policies.find(model, target)
    const champion = yield* aliases.champion(model, Policy.targetOf(target))
    const wanted = (policy?.gates ?? []).filter(
      ({ type }) =>
        kind === "promotion" ||
        (policy !== undefined && Policy.rollbackOf(policy) === "approvals" && type === "approvals"),
    )
    const gates = yield* Effect.forEach(wanted, (gate) =>
      Effect.gen(function* () {
        if (gate.type !== "metric" && gate.type !== "signature") return { gate, rival: undefined }
        const baseline = request.baseline ?? gate.baseline
        const rival =
          champion ?? (baseline === undefined ? undefined : yield* aliases.holder(model, baseline))
        return { gate, rival }
      }),
    )
    const policyDigest = policy === undefined ? "" : Policy.digest(policy)
    return {
      request,
      version,
      policy,
      policyDigest,
      champion,
      gates,
      basis: Digest.ofJson({
        policyDigest,
        digest: version.digest,
        champion: champion ?? null,
        rivals: gates.map(({ rival }) => rival ?? null),
      }),
    }
  })

  const answers = Effect.fnUntraced(function* (found: Snapshot, compare: boolean) {
    const { request, version, gates } = found
    const known =
      request.compared === null ? {} : Asked.decodeCompared(JSON.parse(request.compared))
    const results = new Map<number, GateResult>()
    const compared: Record<string, GateResult> = {}
    for (const [place, { gate, rival }] of gates.entries()) {
      if (gate.type === "metric") {
        const contest = {
          name: request.model,
          target: request.target,
          version: version.version,
          digest: version.digest,
          rival,
          evaluation: evaluationOf(request),
        }
        const key = Asked.contestKey(gate, contest)
        const answer = known[key] ?? (compare ? yield* asked.metric(gate, contest) : undefined)
        if (answer === undefined) continue
        compared[key] = answer
        results.set(place, answer)
      }
      if (gate.type === "signed") {
        const { model: name, version: number, digest } = version
        const files = Option.getOrElse(decodeFiles(version.files), () => [])
        results.set(place, yield* asked.signed(gate, { name, version: number, digest, files }))
      }
    }
    return { results, compared }
  })

  const signatureOf = (row: VersionRow) =>
    Option.getOrUndefined(decodeManifest(row.manifest))?.signature

  const inside: Gates["inside"] = Effect.fnUntraced(function* (found, answered, votes) {
    const { request, version, policy, policyDigest, champion } = found
    const at = `${request.model}@${request.target}`
    if (request.kind === "rollback" && request.previous !== (champion ?? null)) {
      const message = `${at} moved after the rollback was asked for: ask again`
      return [result("target", [{ name: "target", passed: false, message }])]
    }
    if (policy === undefined) return [noPolicy(at)]
    const candidate: Recorded.Candidate = {
      name: request.model,
      version: version.version,
      digest: version.digest,
      run: version.run,
      manifest: Option.getOrUndefined(decodeManifest(version.manifest)),
    }
    const about = {
      digest: version.digest,
      policy: policyDigest,
      requester: request.requester,
      now: Timestamp.now(),
    }
    const results: Array<GateResult> = []
    for (const [place, { gate, rival }] of found.gates.entries()) {
      switch (gate.type) {
        case "metric":
        case "signed": {
          const message = "what it compares with has changed: evaluate the request again"
          const stale = result(gate.type, [{ name: gate.type, passed: false, message }], {
            pending: true,
          })
          results.push(answered.results.get(place) ?? stale)
          break
        }
        case "threshold":
          results.push(yield* recorded.threshold(gate, candidate))
          break
        case "lineage":
          results.push(yield* recorded.lineage(gate, candidate))
          break
        case "tests":
          results.push(yield* recorded.tests(gate, candidate))
          break
        case "approvals":
          results.push(Approvals.check(gate, votes, about))
          break
        case "signature": {
          const row = rival === undefined ? undefined : yield* versionRow(request.model, rival)
          const signature = row === undefined ? undefined : signatureOf(row)
          results.push(
            Signature.check(
              candidate.manifest?.signature,
              rival === undefined
                ? undefined
                : { version: rival, ...(signature === undefined ? {} : { signature }) },
            ),
          )
        }
      }
    }
    return results
  })

  return {
    snapshot,
    outside: (found) => answers(found, true),
    remembered: (found) => answers(found, false),
    inside,
  }
})
