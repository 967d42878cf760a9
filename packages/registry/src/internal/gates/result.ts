import { PromotionGate } from "@ashlar/core"
import * as Schema from "effect/Schema"

/** Schema of what one gate said. */
export const GateResult = Schema.Struct({
  /** The gate's type; `policy` where no policy protects the target, `target` where it moved on. */
  gate: Schema.String,
  passed: Schema.Boolean,
  /** Nothing speaks against it: somebody still has to vote, or a test to report. */
  pending: Schema.optionalKey(Schema.Boolean),
  checks: Schema.Array(PromotionGate.GateCheck),
})

/** What one gate said. */
export type GateResult = typeof GateResult.Type

type Check = typeof PromotionGate.GateCheck.Type

/** A check whose numbers JSON can carry. */
const carried = ({ observed, required, ...check }: Check): Check => ({
  ...check,
  ...(observed === undefined || !Number.isFinite(observed) ? {} : { observed }),
  ...(required === undefined || !Number.isFinite(required) ? {} : { required }),
})

/** A gate passes when all its checks do. */
export const result = (
  gate: string,
  checks: ReadonlyArray<Check>,
  options: { readonly pending?: boolean } = {},
): GateResult => {
  const passed = checks.every((check) => check.passed)
  return {
    gate,
    passed,
    ...(options.pending === true && !passed ? { pending: true } : {}),
    checks: checks.map(carried),
  }
}

/** What is not satisfied, in one sentence. */
export const missing = (results: ReadonlyArray<GateResult>): string =>
  results
    .filter(({ passed }) => !passed)
    .flatMap(({ gate, checks }) => {
      const failed = checks.filter(({ passed }) => !passed)
      if (failed.length === 0) return [`${gate}: not passed`]
      return failed.map(({ message }) => `${gate}: ${message}`)
    })
    .join("; ")
