import { type Database, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Audit from "../Audit.ts"
import { type Target, targetText } from "../Policy.ts"
import { GateResult } from "./gates/result.ts"
import type { AuditRow } from "./migrations.ts"
import type { Store } from "./store.ts"

/** Schema of who was champion, and why. Times are UTC microseconds. */
export const Champion = Schema.Struct({
  version: Schema.Int,
  /** When it became champion. */
  since: Timestamp.Timestamp,
  /** How: `model.promoted`, `model.rolledBack` or `alias.set`. */
  action: Schema.String,
  /** Who moved it there, where somebody said. */
  by: Schema.optionalKey(Schema.String),
  /** Id of the request. */
  request: Schema.optionalKey(Schema.String),
  requester: Schema.optionalKey(Schema.String),
  reason: Schema.optionalKey(Schema.String),
  approvals: Schema.Array(
    Schema.Struct({
      by: Schema.String,
      comment: Schema.NullOr(Schema.String),
      time: Timestamp.Timestamp,
    }),
  ),
  /** What every gate said when it moved. */
  gates: Schema.Array(GateResult),
  /** Digest of the version's content. */
  digest: Schema.optionalKey(Schema.String),
  /** Digest of the policy that it satisfied. */
  policy: Schema.optionalKey(Schema.String),
  /** The entry of the audit that says so. */
  entry: Schema.Struct({ position: Schema.Int, hash: Schema.String }),
})

/** Who was champion, and why. */
export type Champion = typeof Champion.Type

const Detail = Schema.Struct({
  alias: Schema.optionalKey(Schema.String),
  stage: Schema.optionalKey(Schema.String),
  version: Schema.optionalKey(Schema.Int),
  request: Schema.optionalKey(Schema.String),
  requester: Schema.optionalKey(Schema.String),
  reason: Schema.optionalKey(Schema.NullOr(Schema.String)),
  approvals: Schema.optionalKey(Champion.fields.approvals),
  gates: Schema.optionalKey(Champion.fields.gates),
  digest: Schema.optionalKey(Schema.String),
  policy: Schema.optionalKey(Schema.String),
  from: Schema.optionalKey(Schema.String),
  to: Schema.optionalKey(Schema.String),
})
const decodeDetail = Schema.decodeUnknownOption(Detail)

/** A move of a target, as the audit has it. */
interface Move {
  readonly entry: Audit.Entry
  readonly detail: typeof Detail.Type
}

/** Entries of one read. */
const page = 200

/** Reads from the audit where a target pointed. */
export interface Champions {
  /** Who was champion at an instant, and why; `undefined` when nobody was. */
  readonly at: (
    name: string,
    target: Target,
    time: Timestamp.Timestamp,
  ) => Effect.Effect<Champion | undefined, Database.DatabaseError>
  /** The versions that a target had before the one it has, the latest first. */
  readonly before: (
    name: string,
    target: Target,
    current: number | undefined,
  ) => Effect.Effect<ReadonlyArray<number>, Database.DatabaseError>
}

const championOf = ({ entry, detail }: Move, version: number): Champion => ({
  version,
  since: entry.time,
  action: entry.action,
  ...(entry.by === undefined ? {} : { by: entry.by }),
  ...(detail.request === undefined ? {} : { request: detail.request }),
  ...(detail.requester === undefined ? {} : { requester: detail.requester }),
  ...(detail.reason == null ? {} : { reason: detail.reason }),
  approvals: detail.approvals ?? [],
  gates: detail.gates ?? [],
  ...(detail.digest === undefined ? {} : { digest: detail.digest }),
  ...(detail.policy === undefined || detail.policy === "" ? {} : { policy: detail.policy }),
  entry: { position: entry.position, hash: entry.hash },
})

/** The champions of a store. */
export const make = ({ db, build }: Store): Champions => {
  /**
   * Moves of a target until an instant, the latest first; only the latest, if that is enough. They
   * follow a model to its earlier names, and end where an older model of the name was deleted.
   */
  const moves = Effect.fnUntraced(function* (
    name: string,
    target: Target,
    until: Timestamp.Timestamp,
    enough: number,
  ) {
    const text = targetText(target)
    const found: Array<Move> = []
    let [subject, before]: [string, number] = [name, Number.MAX_SAFE_INTEGER]
    for (;;) {
      const rows: ReadonlyArray<AuditRow> = yield* db.all(
        build
          .selectFrom("registry_audit")
          .selectAll()
          .where("subject", "=", subject)
          .where("action", "in", [...Audit.moves, "model.renamed", "model.deleted"])
          .where("position", "<", before)
          .where("time", "<=", until)
          .orderBy("position", "desc")
          .limit(page),
      )
      let renamed = false
      for (const row of rows) {
        const entry = Audit.fromRow(row)
        const detail = Option.getOrUndefined(decodeDetail(entry.detail))
        before = entry.position
        if (entry.action === "model.deleted") return found
        if (entry.action === "model.renamed") {
          if (detail?.from === undefined || detail.to !== subject) return found
          subject = detail.from
          // The entry before says the same of the earlier name.
          before -= 1
          renamed = true
          break
        }
        const at = detail?.stage === undefined ? detail?.alias : `stage:${detail.stage}`
        if (detail !== undefined && at === text) found.push({ entry, detail })
        if (found.length >= enough) return found
      }
      if (rows.length < page && !renamed) return found
    }
  })

  return {
    at: Effect.fnUntraced(function* (name, target, time) {
      const [last] = yield* moves(name, target, time, 1)
      const version = last?.detail.version
      if (last === undefined || version === undefined) return undefined
      return last.entry.action === "alias.removed" ? undefined : championOf(last, version)
    }),
    before: Effect.fnUntraced(function* (name, target, current) {
      const past = yield* moves(name, target, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
      // Like undoing: a rollback takes back what came after the version that it returned to.
      const stack: Array<number> = []
      for (const { entry, detail } of past.toReversed()) {
        const { version } = detail
        if (version === undefined || entry.action === "alias.removed") continue
        if (entry.action === "model.rolledBack") {
          const at = stack.lastIndexOf(version)
          if (at >= 0) stack.length = at
        }
        if (stack.at(-1) !== version) stack.push(version)
      }
      if (stack.at(-1) === current) stack.pop()
      return stack.toReversed()
    }),
  }
}
