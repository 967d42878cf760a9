/** Checks of definitions. */
import { Name } from "@ashlar/core"
import * as Exit from "effect/Exit"
import * as Cause from "effect/Cause"
import * as Schema from "effect/Schema"
import { DefinitionError } from "../DefinitionError.ts"

/** A definition error about a field. */
export const invalid = (field: string, message: string): DefinitionError =>
  new DefinitionError({ reason: "InvalidInput", field, message })

/** Decodes the plain fields of a definition, or throws what is wrong with them. */
export const decode = <S extends Schema.ConstraintDecoder<unknown>>(
  what: string,
  schema: S,
  value: unknown,
): S["Type"] => {
  const exit = Schema.decodeUnknownExit(schema)(value)
  if (Exit.isSuccess(exit)) return exit.value
  const error = Cause.squash(exit.cause)
  throw invalid(what, `${what}: ${error instanceof Error ? error.message : String(error)}`)
}

/** Names of features: like other names, but `__` separates view and feature in full names. */
export const FeatureName = Name.Name.check(
  Schema.makeFilter(
    (name: string) => !name.includes("__") || "a feature or view name has no '__' inside",
  ),
)

/** Versions count from 1. */
export const Version = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

/** Fails when a name occurs twice. */
export const unique = (what: string, names: ReadonlyArray<string>): void => {
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) {
    throw invalid(what, `${what}: '${twice}' occurs twice; give one of them another name`)
  }
}

/**
 * What is stored of a definition. Under one version, `fixed` never changes, and `parts` may only be
 * added.
 */
export interface Description {
  readonly fixed: unknown
  readonly parts: Readonly<Record<string, unknown>>
}
