import { Dataset, Digest, PromotionGate } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { MetricGate, SignedGate } from "../../Policy.ts"
import { invalid, RegistryError } from "../../RegistryError.ts"
import { type SignedVersion, SignatureVerifier } from "../../SignatureVerifier.ts"
import { type GateResult, GateResult as GateResultSchema, result } from "./result.ts"

/** What a comparison is about. */
export interface Contest {
  readonly name: string
  readonly target: string
  readonly version: number
  readonly digest: string
  /** The version to beat. */
  readonly rival: number | undefined
  readonly evaluation: Dataset.DatasetRef | undefined
}

/** Comparisons that were made, by what they were made on. */
export type Compared = Readonly<Record<string, GateResult>>

/** Reads stored comparisons. */
export const decodeCompared = Schema.decodeUnknownSync(
  Schema.Record(Schema.String, GateResultSchema),
)

/** A comparison holds for as long as neither side nor the question changes. */
export const contestKey = (gate: typeof MetricGate.Type, contest: Contest): string =>
  Digest.ofJson({ gate, ...contest, rival: contest.rival ?? null })

/** The gates that ask others: the port `PromotionGate`, and the application's verifier. */
export interface Asked {
  readonly metric: (
    gate: typeof MetricGate.Type,
    contest: Contest,
  ) => Effect.Effect<GateResult, RegistryError | PromotionGate.PromotionGateError>
  readonly signed: (
    gate: typeof SignedGate.Type,
    version: SignedVersion,
  ) => Effect.Effect<GateResult, RegistryError>
}

const lacking = (what: string, gate: string, target: string) =>
  new RegistryError({
    reason: "PreconditionFailed",
    field: "policy",
    message: `the policy of ${target} has a gate '${gate}', and there is no ${what} to ask: provide one to the registry's layer`,
  })

/** Asks the services of the caller, or those that were there when the registry was opened. */
export const make: Effect.Effect<Asked> = Effect.gen(function* () {
  const opened = yield* Effect.context<never>()

  const service = <I, S>(key: Context.Key<I, S>) =>
    Effect.map(Effect.serviceOption(key), (found) =>
      Option.orElse(found, () => Context.getOption(opened, key)),
    )

  return {
    metric: Effect.fnUntraced(function* (gate, contest) {
      const target = `${contest.name}@${contest.target}`
      const port = yield* service(PromotionGate.PromotionGate)
      const evaluation = contest.evaluation ?? gate.evaluation
      if (evaluation === undefined) {
        return yield* invalid(
          "evaluation",
          `the policy of ${target} compares on data: name it in the request or in the policy`,
        )
      }
      if (Option.isNone(port)) return yield* lacking("PromotionGate", "metric", target)
      const { name, version, rival } = contest
      const decision = yield* port.value.compare({
        challenger: { name, version },
        ...(rival === undefined ? {} : { champion: { name, version: rival } }),
        evaluation,
        label: gate.label,
        metric: gate.metric,
        ...(gate.minimumGain === undefined ? {} : { minimumGain: gate.minimumGain }),
        ...(gate.alpha === undefined ? {} : { alpha: gate.alpha }),
      })
      // The port decides; its checks say why.
      return { ...result("metric", decision.checks), passed: decision.passed }
    }),
    signed: Effect.fnUntraced(function* (gate, version) {
      const port = yield* service(SignatureVerifier)
      if (Option.isNone(port)) {
        return yield* lacking("SignatureVerifier", "signed", version.name)
      }
      const { valid, signer, message } = yield* port.value.verify(version)
      const stranger =
        gate.signers !== undefined && (signer === undefined || !gate.signers.includes(signer))
      const passed = valid && !stranger
      return result("signed", [
        {
          name: "signed",
          passed,
          message:
            valid && stranger
              ? `signed by ${signer === undefined ? "nobody known" : `'${signer}'`}, who is not accepted: ${message}`
              : message,
        },
      ])
    }),
  }
})
