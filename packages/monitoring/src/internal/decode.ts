/**
 * Decodes what callers send.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { MonitoringError } from "../MonitoringError.ts"

/** A checker of a schema whose error names the field and the rule. */
export const decoder = <S extends Schema.Decoder<unknown>>(
  schema: S,
  what: string,
): ((input: unknown) => Effect.Effect<S["Type"], MonitoringError>) => {
  const decode = Schema.decodeUnknownEffect(schema)
  return (input) =>
    decode(input).pipe(
      Effect.mapError(
        (cause) =>
          new MonitoringError({
            reason: "InvalidInput",
            message: `this is no ${what}: ${cause.message}`,
            cause,
          }),
      ),
    )
}
