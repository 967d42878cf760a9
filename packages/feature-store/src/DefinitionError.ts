/**
 * What is wrong with a definition.
 *
 * @module
 */
import { Failure } from "@ashlar/core"
import * as Schema from "effect/Schema"

/**
 * A definition breaks a rule. Definitions are constants of a program, so their constructors throw
 * it rather than return an effect.
 */
export class DefinitionError extends Schema.TaggedError<DefinitionError>()(
  "DefinitionError",
  Failure.fields(["InvalidInput"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}
