import { type Database, Dataset } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { targetOf } from "../Policy.ts"
import type { PromotionRequest, Vote } from "../PromotionRequest.ts"
import { notFound, type RegistryError } from "../RegistryError.ts"
import { GateResult } from "./gates/result.ts"
import type { RequestRow, VoteRow } from "./migrations/0007-governance.ts"
import type { Store } from "./store.ts"

type Failure = Database.DatabaseError | RegistryError

const decodeGates = Schema.decodeUnknownSync(Schema.Array(GateResult))
const decodeEvaluation = Schema.decodeUnknownSync(Dataset.DatasetRef)

/** What the gates of a stored request said last. */
export const gatesOf = (row: RequestRow): ReadonlyArray<GateResult> =>
  decodeGates(JSON.parse(row.gates))

/** The data that a stored request names. */
export const evaluationOf = (row: RequestRow): Dataset.DatasetRef | undefined =>
  row.evaluation === null ? undefined : decodeEvaluation(JSON.parse(row.evaluation))

const voteOf = (row: VoteRow): Vote => ({
  by: row.principal,
  vote: row.vote,
  ...(row.comment === null ? {} : { comment: row.comment }),
  time: row.time,
  digest: row.digest,
  policy: row.policy,
})

/** A request as it is shown. */
export const shown = (row: RequestRow, votes: ReadonlyArray<VoteRow>): PromotionRequest => {
  const target = targetOf(row.target)
  return {
    id: row.id,
    kind: row.kind,
    name: row.model,
    version: row.version,
    ...(typeof target === "string" ? { alias: target } : { stage: target.stage }),
    digest: row.digest,
    status: row.status,
    requester: row.requester,
    ...(row.reason === null ? {} : { reason: row.reason }),
    gates: gatesOf(row),
    votes: votes.map(voteOf),
    ...(row.previous === null ? {} : { previous: row.previous }),
    created: row.created,
    updated: row.updated,
  }
}

/** Which requests to list. */
export interface Wanted {
  readonly name?: string
  readonly status?: PromotionRequest["status"]
  /** Requests older than this one. */
  readonly before?: string
  readonly limit: number
}

/** Stored requests and the votes on them. */
export interface Requests {
  readonly row: (id: string) => Effect.Effect<RequestRow, Failure>
  readonly byKey: (
    name: string,
    key: string,
  ) => Effect.Effect<RequestRow | undefined, Database.DatabaseError>
  /** The newest request for exactly this version. */
  readonly newest: (
    name: string,
    target: string,
    version: number,
  ) => Effect.Effect<RequestRow | undefined, Database.DatabaseError>
  /** Open requests for a version. */
  readonly open: (
    name: string,
    version: number,
  ) => Effect.Effect<ReadonlyArray<RequestRow>, Database.DatabaseError>
  readonly list: (
    wanted: Wanted,
  ) => Effect.Effect<ReadonlyArray<RequestRow>, Database.DatabaseError>
  readonly votes: (
    ids: ReadonlyArray<string>,
  ) => Effect.Effect<ReadonlyArray<VoteRow>, Database.DatabaseError>
  readonly view: (row: RequestRow) => Effect.Effect<PromotionRequest, Database.DatabaseError>
  /** Inserts a request, or writes how it stands now. */
  readonly save: (row: RequestRow) => Effect.Effect<void, Database.DatabaseError>
}

/** The requests of a store. */
export const make = ({ db, build }: Store): Requests => {
  const all = build.selectFrom("registry_request").selectAll()
  const votes = (ids: ReadonlyArray<string>) =>
    ids.length === 0
      ? Effect.succeed([])
      : db.all(
          build
            .selectFrom("registry_vote")
            .selectAll()
            .where("request", "in", ids)
            .orderBy("time")
            .orderBy("principal"),
        )

  return {
    row: Effect.fnUntraced(function* (id) {
      const found = yield* db.first(all.where("id", "=", id))
      return found ?? (yield* notFound(`request ${id.slice(0, 100)}`))
    }),
    byKey: (name, key) => db.first(all.where("model", "=", name).where("key", "=", key)),
    newest: (name, target, version) =>
      db.first(
        all
          .where("model", "=", name)
          .where("target", "=", target)
          .where("version", "=", version)
          .orderBy("id", "desc")
          .limit(1),
      ),
    open: (name, version) =>
      db.all(
        all
          .where("model", "=", name)
          .where("version", "=", version)
          .where("status", "=", "open")
          .orderBy("id"),
      ),
    list: ({ name, status, before, limit }) => {
      let query = all.orderBy("id", "desc").limit(limit)
      if (name !== undefined) query = query.where("model", "=", name)
      if (status !== undefined) query = query.where("status", "=", status)
      if (before !== undefined) query = query.where("id", "<", before)
      return db.all(query)
    },
    votes,
    view: (row) => Effect.map(votes([row.id]), (rows) => shown(row, rows)),
    save: (row) => {
      const { status, gates, compared, previous, updated } = row
      return Effect.asVoid(
        db.run(
          build
            .insertInto("registry_request")
            .values(row)
            .onConflict((c) =>
              c.column("id").doUpdateSet({ status, gates, compared, previous, updated }),
            ),
        ),
      )
    },
  }
}
