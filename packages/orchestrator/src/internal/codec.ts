import { Failure } from "@ashlar/core"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { OrchestratorError } from "../Workflow.ts"

/** Most characters of a step's or run's JSON. */
const maxJson = 1_000_000

/** Encodes a value by its schema to JSON text within the size limit. */
export const encode = Effect.fnUntraced(function* <A>(
  schema: Schema.Codec<A, unknown>,
  value: A,
  what: string,
) {
  const json = yield* Effect.mapError(
    Schema.encodeEffect(Schema.toCodecJson(schema))(value),
    (error) =>
      new OrchestratorError({
        reason: "InvalidInput",
        field: what,
        message: `${what}: ${error.message}`,
      }),
  )
  const text = JSON.stringify(json ?? null)
  if (text.length > maxJson) {
    return yield* new OrchestratorError({
      reason: "TooLarge",
      field: what,
      message: `${what} is ${text.length} characters of JSON, the journal holds ${maxJson}: write large data to a file or blob and return its reference`,
    })
  }
  return text
})

/** Decodes journaled JSON text by its schema. */
export const decode = <A>(schema: Schema.Codec<A, unknown>, text: string | null, what: string) =>
  Effect.mapError(
    Effect.try({
      try: (): unknown => JSON.parse(text ?? "null"),
      catch: (error) => new OrchestratorError({ reason: "Corrupt", message: `${what}: ${error}` }),
    }).pipe(Effect.flatMap(Schema.decodeUnknownEffect(Schema.toCodecJson(schema)))),
    (error) =>
      error instanceof OrchestratorError
        ? error
        : new OrchestratorError({
            reason: "Corrupt",
            field: what,
            message: `${what}: what was journaled does not fit the schema any more (${error.message}); raise the workflow's version and start it under a new key`,
          }),
  )

/** Why something failed, as journaled for people. */
export const describe = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  const text = Failure.isFailure(error)
    ? `${Failure.codeOf(error)}: ${error.message}`
    : error instanceof Error
      ? `${error.name}: ${error.message}`
      : String(error)
  return text.slice(0, 10_000)
}
