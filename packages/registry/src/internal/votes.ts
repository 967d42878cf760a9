import { type Database, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { Actor } from "../Actor.ts"
import * as Audit from "../Audit.ts"
import { targetOf } from "../Policy.ts"
import { RegistryError } from "../RegistryError.ts"
import { unfit } from "./gates/approvals.ts"
import type { Snapshot } from "./gates/evaluate.ts"
import type { RequestRow } from "./migrations/0007-governance.ts"
import type { Store } from "./store.ts"

type Failure = Database.DatabaseError | RegistryError

/** A vote to cast. */
export interface Cast {
  readonly by: Actor
  readonly vote: "approve" | "reject"
  readonly comment?: string
}

/** Casts votes; inside the transaction that may move. */
export interface Votes {
  /** Writes a vote down. Returns the request, ended, when the vote ended it. */
  readonly cast: (snapshot: Snapshot, cast: Cast) => Effect.Effect<RequestRow | undefined, Failure>
  /** A request that has ended takes no vote, but it knows those that it has. */
  readonly afterwards: (
    row: RequestRow,
    cast: Cast | undefined,
  ) => Effect.Effect<RequestRow, Failure>
  /** Approvals of these bytes under this policy, as the audit shows them. */
  readonly approvals: (
    id: string,
    policy: string,
    digest: string,
  ) => Effect.Effect<
    ReadonlyArray<{
      readonly by: string
      readonly comment: string | null
      readonly time: number
    }>,
    Database.DatabaseError
  >
}

/** Why an actor may not vote on a request; `undefined` when it may. */
const strange = ({ gates, request }: Snapshot, { by, vote }: Cast): RegistryError | undefined => {
  // Who asked may always take it back.
  if (vote === "reject" && by.name === request.requester) return undefined
  const reasons = gates.flatMap(({ gate }) =>
    gate.type === "approvals" ? [unfit(gate, by, request.requester)] : [],
  )
  if (reasons.some((reason) => reason === undefined)) return undefined
  const [reason] = reasons
  return reason === undefined
    ? new RegistryError({
        reason: "PreconditionFailed",
        message: `request ${request.id} asks for no approvals`,
      })
    : new RegistryError({ reason: "PermissionDenied", field: "by", message: reason })
}

/** The votes of a store. */
export const make = (store: Store): Votes => {
  const { db, build } = store

  return {
    cast: Effect.fnUntraced(function* (snapshot, given) {
      const refusal = strange(snapshot, given)
      if (refusal !== undefined) return yield* refusal
      const { request, version, policyDigest } = snapshot
      const { by, vote, comment = null } = given
      const row = {
        vote,
        comment,
        scopes: JSON.stringify(by.scopes ?? []),
        digest: version.digest,
        policy: policyDigest,
        time: Timestamp.now(),
      }
      yield* db.run(
        build
          .insertInto("registry_vote")
          .values({ request: request.id, principal: by.name, ...row })
          .onConflict((c) => c.columns(["request", "principal"]).doUpdateSet(row)),
      )
      const target = targetOf(request.target)
      yield* Audit.append(store, {
        action: vote === "approve" ? "promotion.approved" : "promotion.rejected",
        subject: request.model,
        detail: {
          ...(typeof target === "string" ? { alias: target } : { stage: target.stage }),
          version: request.version,
          request: request.id,
          voter: by.name,
          comment,
          digest: version.digest,
          policy: policyDigest,
        },
      })
      if (vote === "approve") return undefined
      const ended: RequestRow = { ...request, status: "rejected", updated: row.time }
      return ended
    }),
    afterwards: Effect.fnUntraced(function* (row, given) {
      if (given === undefined) return row
      const mine = yield* db.first(
        build
          .selectFrom("registry_vote")
          .select("vote")
          .where("request", "=", row.id)
          .where("principal", "=", given.by.name),
      )
      if (mine?.vote === given.vote) return row
      return yield* new RegistryError({
        reason: "Conflict",
        message: `request ${row.id} is ${row.status} and takes no more votes: ask again`,
      })
    }),
    approvals: (id, policy, digest) =>
      Effect.map(
        db.all(
          build
            .selectFrom("registry_vote")
            .select(["principal", "comment", "time"])
            .where("request", "=", id)
            .where("vote", "=", "approve")
            .where("policy", "=", policy)
            .where("digest", "=", digest)
            .orderBy("time")
            .orderBy("principal"),
        ),
        (rows) => rows.map(({ principal, comment, time }) => ({ by: principal, comment, time })),
      ),
  }
}
