/**
 * Names of things a user makes: projects, experiments, models, feature views, queues.
 *
 * @module
 */
import * as Schema from "effect/Schema"

/** Letters, digits, `_`, `.` and `-`, starting with a letter or digit, at most 128 characters. */
export const pattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/

/** Schema of a name; refuses everything {@link pattern} does not match. */
export const Name = Schema.String.check(
  Schema.isPattern(pattern, {
    message:
      "a name has 1 to 128 letters, digits, '_', '.' or '-', and starts with a letter or digit",
  }),
)

/** True when the value is a valid name. */
export const isName = (value: unknown): value is string =>
  typeof value === "string" && pattern.test(value)
