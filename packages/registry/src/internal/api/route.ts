import { Timestamp } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Experiments } from "../../Experiments.ts"
import { Explorer } from "../../Explorer.ts"
import { FilterError } from "../search/FilterError.ts"
import type { Models } from "../../Models.ts"
import type { Promotions } from "../../Promotions.ts"
import { RegistryError } from "../../RegistryError.ts"
import type { Runs } from "../../Runs.ts"
import type { WireNumber } from "./answers.ts"

/** The services that the API asks; a server without `Explorer` has no pages. */
export type Services = Experiments | Models | Promotions | Runs

/** Runs the effects of the API. */
export type Runtime = ManagedRuntime.ManagedRuntime<Services, unknown>

/** Where the API lies. */
export const root = "/api/ashlar/registry"

const filterErrorOf = (error: unknown): FilterError | undefined =>
  error instanceof RegistryError && error.cause instanceof FilterError ? error.cause : undefined

/** The kit's error body; of a filter or sort key also where it went wrong, and against which rule. */
export const formatError: HttpKit.FormatError = (failure) => {
  const filter = filterErrorOf(failure.error)
  return {
    body: {
      error: {
        code: failure.code,
        reason: failure.reason,
        message: failure.message,
        ...(failure.field === undefined ? {} : { field: failure.field }),
        ...(failure.issues === undefined ? {} : { issues: failure.issues }),
        ...(filter === undefined
          ? {}
          : { position: filter.position, token: filter.token, rule: filter.rule }),
        requestId: failure.requestId,
      },
    },
  }
}

/** What the routes have in common. */
export const common = { tag: "registry", formatError } as const

/** A service that not every server has; one without says which layer it lacks. */
export const needed = <I, S>(
  key: Context.Key<I, S>,
  layer: string,
): Effect.Effect<S, HttpKit.HttpError> =>
  Effect.flatMap(Effect.serviceOption(key), (found) =>
    Option.isSome(found)
      ? Effect.succeed(found.value)
      : Effect.fail(
          new HttpKit.HttpError({
            reason: "Unavailable",
            message: `this server does not do that: give its runtime the layer ${layer}`,
          }),
        ),
  )

/** The explorer. */
export const explorer = needed(Explorer, "Explorer.layer")

/** A number as JSON has it. */
export const wireNumber = (value: number): WireNumber =>
  Number.isFinite(value)
    ? value
    : Number.isNaN(value)
      ? "NaN"
      : value > 0
        ? "Infinity"
        : "-Infinity"

/** ISO 8601. */
export const iso = (time: Timestamp.Timestamp): string => Timestamp.toIso(time)

/** Text of a bounded length. */
export const text = (max: number) => Schema.String.check(Schema.isMaxLength(max))

/** A list of a bounded length. */
export const list = <S extends Schema.Constraint>(item: S, max: number) =>
  Schema.Array(item).check(Schema.isMaxLength(max))

/** A whole number from 1 to a limit. */
export const upTo = (max: number) =>
  Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: max }))

/** The same out of a query. */
export const queryUpTo = (max: number) =>
  Schema.NumberFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 1, maximum: max }))

/** An id of a run or an experiment. */
export const Id = text(500).check(Schema.isMinLength(1))
/** A key of a metric, parameter or tag. */
export const Key = text(1000)
