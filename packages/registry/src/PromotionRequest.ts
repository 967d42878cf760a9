/**
 * A request that an alias or a stage gets a version: what every gate said, and who voted.
 *
 * @module
 */
import { Dataset, Name, Timestamp } from "@ashlar/core"
import * as Schema from "effect/Schema"
import { GateResult } from "./internal/gates/result.ts"
import { Stage } from "./Policy.ts"

export { GateResult } from "./internal/gates/result.ts"

const text = Schema.String.check(Schema.isMaxLength(4000))
const Alias = Schema.String.check(Schema.isPattern(/^[\p{L}\p{N}_.-]{1,255}$/u))
const Version = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }))

/** Schema of a key: the same one asks for the same thing once. */
export const Key = Schema.NonEmptyString.check(Schema.isMaxLength(255))

/** Schema of what to ask for: an alias or a stage for a version. */
export const Ask = Schema.Struct({
  name: Schema.NonEmptyString.check(Schema.isMaxLength(256)),
  version: Version,
  /** Exactly one of `alias` and `stage`. */
  alias: Schema.optionalKey(Alias),
  stage: Schema.optionalKey(Stage),
  /** Data to compare on; overrides the policy's own. */
  evaluation: Schema.optionalKey(Dataset.DatasetRef),
  /** Alias to compare with while the target has no version. */
  baseline: Schema.optionalKey(Name.Name),
  reason: Schema.optionalKey(text),
  key: Schema.optionalKey(Key),
})

/** What to ask for. */
export type Ask = typeof Ask.Type

/** Schema of what is said with a vote. */
export const Comment = text

/** Schema of a vote. Times are UTC microseconds. */
export const Vote = Schema.Struct({
  by: Schema.String,
  vote: Schema.Literals(["approve", "reject"]),
  comment: Schema.optionalKey(Schema.String),
  time: Timestamp.Timestamp,
  /** Of the content that was approved. */
  digest: Schema.String,
  /** Digest of the policy that it was approved under. */
  policy: Schema.String,
})

/** One vote. */
export type Vote = typeof Vote.Type

/** Schema of a request. Times are UTC microseconds. */
export const PromotionRequest = Schema.Struct({
  id: Schema.String,
  kind: Schema.Literals(["promotion", "rollback"]),
  name: Schema.String,
  version: Schema.Int,
  alias: Schema.optionalKey(Schema.String),
  stage: Schema.optionalKey(Stage),
  /** Of the version's content. */
  digest: Schema.String,
  /** `open`: votes or tests are awaited. The other states are final. */
  status: Schema.Literals(["open", "promoted", "refused", "rejected"]),
  requester: Schema.String,
  reason: Schema.optionalKey(Schema.String),
  gates: Schema.Array(GateResult),
  votes: Schema.Array(Vote),
  /** The version that the target had before. */
  previous: Schema.optionalKey(Schema.Int),
  created: Timestamp.Timestamp,
  updated: Timestamp.Timestamp,
})

/** A request and how it stands. */
export type PromotionRequest = typeof PromotionRequest.Type
