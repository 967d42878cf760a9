import * as Schema from "effect/Schema"
import { Turn } from "./loop.ts"
import { Cleaned } from "./prepare.ts"
import { Scored } from "./score.ts"

/** Performance of one week. */
export const Week = Schema.Struct({
  from: Schema.Number,
  predictions: Schema.Number,
  coverage: Schema.Number,
  auc: Schema.NullOr(Schema.Number),
  logLoss: Schema.NullOr(Schema.Number),
})

/** Drift of one feature in one month against what the first champion learned from. */
export const FeatureDrift = Schema.Struct({
  month: Schema.String,
  feature: Schema.String,
  psi: Schema.Number,
  drifted: Schema.Boolean,
})

/** A prediction that was far off, and the features that pushed it there. */
export const Miss = Schema.Struct({
  predictionId: Schema.String,
  time: Schema.Number,
  probability: Schema.Number,
  late: Schema.Boolean,
  reasons: Schema.Array(Schema.Struct({ column: Schema.String, value: Schema.Number })),
})

/** AUC of a version in a month. */
export const MonthAuc = Schema.Struct({
  model: Schema.Literals(["champion", "challenger"]),
  version: Schema.Number,
  month: Schema.String,
  auc: Schema.Number,
  /** True when the model learned from flights of that month. */
  inSample: Schema.Boolean,
})

/** Everything the loop found. */
export const Result = Schema.Struct({
  cleaned: Cleaned,
  first: Turn,
  fired: Schema.NullOr(
    Schema.Struct({ at: Schema.Number, key: Schema.String, reason: Schema.String }),
  ),
  second: Schema.NullOr(Turn),
  scored: Schema.Array(Scored),
  weeks: Schema.Array(Week),
  drift: Schema.Array(FeatureDrift),
  misses: Schema.Array(Miss),
  auc: Schema.Array(MonthAuc),
})

/** Everything the loop found. */
export type Result = typeof Result.Type
