/**
 * Who may become champion: policies that protect an alias or a stage of a model. A policy is a list
 * of typed gates, and all of them must pass.
 *
 * @module
 */
import { Auth, Dataset, Digest, Name } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid, type RegistryError } from "./RegistryError.ts"

const Metric = Schema.Literals(["auc", "log_loss", "brier", "accuracy"])
const Key = Schema.String.check(Schema.isPattern(/^[/\w.\- :]{1,250}$/))
const Alpha = Schema.Finite.check(
  Schema.makeFilter((a: number) => (a > 0 && a < 1) || "alpha lies between 0 and 1"),
)

/** Seconds, at most ten years. */
const Seconds = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 315_576_000 }))

const comparison = {
  /** Metric to compare by; higher is better for all but `log_loss` and `brier`. */
  metric: Metric,
  /** Column of the evaluation data with the truth. */
  label: Schema.NonEmptyString,
  /** The challenger must win by at least this; default 0. */
  minimumGain: Schema.optionalKey(Schema.Finite),
  /** Significance of the test that it wins; default 0.05. */
  alpha: Schema.optionalKey(Alpha),
  /** Data to compare on, unless the request names its own. */
  evaluation: Schema.optionalKey(Dataset.DatasetRef),
  /** Alias to beat while the protected alias points nowhere. */
  baseline: Schema.optionalKey(Name.Name),
} as const

/** Beats the present champion on evaluation data, asked of core's port `PromotionGate`. */
export const MetricGate = Schema.Struct({ type: Schema.tag("metric"), ...comparison })

/** The version's own metric lies within bounds; at least one bound is given. */
export const ThresholdGate = Schema.Struct({
  type: Schema.tag("threshold"),
  /** Key of the metric. */
  metric: Key,
  minimum: Schema.optionalKey(Schema.Finite),
  maximum: Schema.optionalKey(Schema.Finite),
  /** The last value of the version's run (default), or `metadata.metrics` of its package. */
  of: Schema.optionalKey(Schema.Literals(["run", "package"])),
}).check(
  Schema.makeFilter(
    ({ minimum, maximum }: { readonly minimum?: number; readonly maximum?: number }) =>
      minimum === undefined && maximum === undefined
        ? "a threshold has a minimum, a maximum or both"
        : (minimum ?? -Infinity) <= (maximum ?? Infinity) || "minimum is greater than maximum",
  ),
)

/** Accepts every request that the champion accepts, and answers all that it answers. */
export const SignatureGate = Schema.Struct({
  type: Schema.tag("signature"),
  /** Alias to be compatible with while the protected alias points nowhere. */
  baseline: Schema.optionalKey(Name.Name),
})

/** Where the version comes from is known. */
export const LineageGate = Schema.Struct({
  type: Schema.tag("lineage"),
  /** Default all: its run, digests of the data the run read, and the commit of the code. */
  require: Schema.optionalKey(
    Schema.Array(Schema.Literals(["run", "datasets", "commit"])).check(Schema.isMinLength(1)),
  ),
})

/** Named tests passed, by evidence that was posted for exactly these bytes. */
export const TestsGate = Schema.Struct({
  type: Schema.tag("tests"),
  names: Schema.Array(Name.Name).check(Schema.isMinLength(1), Schema.isMaxLength(100)),
  /** Evidence older than this does not count; default any age. */
  maxAgeSeconds: Schema.optionalKey(Seconds),
  /** Whose evidence counts; default everybody's who may write. */
  reporters: Schema.optionalKey(Schema.Array(Schema.NonEmptyString).check(Schema.isMinLength(1))),
})

/** The package carries a signature that the application's `SignatureVerifier` finds valid. */
export const SignedGate = Schema.Struct({
  type: Schema.tag("signed"),
  /** Signers to accept; default whomever the verifier knows. */
  signers: Schema.optionalKey(Schema.Array(Schema.NonEmptyString).check(Schema.isMinLength(1))),
})

/** So many different people agreed to exactly these bytes under exactly this policy. */
export const ApprovalsGate = Schema.Struct({
  type: Schema.tag("approvals"),
  count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 })),
  /** Names that may approve. Without names and scope, everybody who may call. */
  principals: Schema.optionalKey(Schema.Array(Schema.NonEmptyString).check(Schema.isMinLength(1))),
  /** Holders of this scope may approve as well. */
  scope: Schema.optionalKey(Auth.Scope),
  /** Whether the one who asks may approve too; default false. */
  selfApproval: Schema.optionalKey(Schema.Boolean),
  /** How long an approval counts; default seven days. */
  expiresSeconds: Schema.optionalKey(Seconds),
}).check(
  Schema.makeFilter(
    (gate: {
      readonly count: number
      readonly principals?: ReadonlyArray<string>
      readonly scope?: unknown
    }) =>
      gate.scope !== undefined ||
      gate.principals === undefined ||
      new Set(gate.principals).size >= gate.count ||
      `count ${gate.count} can never be reached by ${new Set(gate.principals).size} principals`,
  ),
)

/** Schema of a gate. */
export const Gate = Schema.Union([
  MetricGate,
  ThresholdGate,
  SignatureGate,
  LineageGate,
  TestsGate,
  SignedGate,
  ApprovalsGate,
])

/** A condition on a version. */
export type Gate = typeof Gate.Type

/** Schema of a policy. */
export const Policy = Schema.Struct({
  version: Schema.Literal(2),
  /** All of them must pass. */
  gates: Schema.Array(Gate).check(Schema.isMinLength(1), Schema.isMaxLength(32)),
  /**
   * How the alias returns to its previous holder: at once, or once the policy's approvals are there
   * (the default where it asks for approvals). Its other gates are not asked again.
   */
  rollback: Schema.optionalKey(Schema.Literals(["always", "approvals"])),
}).check(
  Schema.makeFilter(
    (policy: {
      readonly gates: ReadonlyArray<{ readonly type: string }>
      readonly rollback?: string
    }) =>
      policy.rollback !== "approvals" ||
      policy.gates.some(({ type }) => type === "approvals") ||
      'rollback "approvals" needs a gate of approvals',
  ),
)

/** What a protected alias or stage asks of a version. */
export type Policy = typeof Policy.Type

/** The short form of a policy: one comparison with the champion. Policies were stored so before. */
export const Comparison = Schema.Struct({ ...comparison, alpha: Schema.optionalKey(Schema.Finite) })

/** The short form of a policy. */
export type Comparison = typeof Comparison.Type

/** MLflow's stages that a policy can protect. */
export const Stage = Schema.Literals(["Staging", "Production", "Archived"])

/** What a policy protects: an alias, or a stage. */
export type Target = string | { readonly stage: typeof Stage.Type }

/** A target as it is stored and shown: the alias, or `stage:<Stage>`, which no alias is called. */
export const targetText = (target: Target): string =>
  typeof target === "string" ? target : `stage:${target.stage}`

/** From {@link targetText}. */
export const targetOf = (text: string): Target => {
  const stage = Stage.literals.find((name) => text === `stage:${name}`)
  return stage === undefined ? text : { stage }
}

/** A policy as it is, or the short form written out. */
export const upgrade = (policy: Policy | Comparison): Policy =>
  "gates" in policy ? policy : { version: 2, gates: [{ type: "metric", ...policy }] }

const decodePolicy = Schema.decodeUnknownEffect(Policy)
const decodeComparison = Schema.decodeUnknownEffect(Comparison)

/** Reads a policy, also in its short form; fails with `InvalidInput` and the place in it. */
export const decode = (value: unknown): Effect.Effect<Policy, RegistryError> => {
  const short = typeof value === "object" && value !== null && "metric" in value
  const decoded: Effect.Effect<Policy | Comparison, Schema.SchemaError> = short
    ? decodeComparison(value)
    : decodePolicy(value)
  return Effect.matchEffect(decoded, {
    onFailure: (error) => Effect.fail(invalid("policy", `the policy is refused: ${error.message}`)),
    onSuccess: (policy) => Effect.succeed(upgrade(policy)),
  })
}

/** What an approval is tied to: it does not count under another policy. */
export const digest = (policy: Policy): Digest.Digest => Digest.ofJson(policy)

/** How an alias of this policy returns to its previous holder. */
export const rollbackOf = (policy: Policy): "always" | "approvals" =>
  policy.rollback ??
  (policy.gates.some(({ type }) => type === "approvals") ? "approvals" : "always")
