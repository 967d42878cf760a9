import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid, type RegistryError } from "../../RegistryError.ts"
import * as Request from "./request.ts"
import { json } from "./validate.ts"

/** Parameters of a search. */
export const Search = Schema.Struct({
  filter: Schema.optionalKey(Schema.String),
  max_results: Schema.optionalKey(Request.Int64),
  order_by: Schema.optionalKey(Request.Texts),
  page_token: Schema.optionalKey(Schema.String),
})

/** A model. */
export const Name = Schema.Struct({ name: Schema.NonEmptyString })

/** A version of a model. */
export const Version = Schema.Struct({ ...Name.fields, version: Schema.NonEmptyString })

/** Tags, whose keys the registry checks. */
export const Tags = Schema.Array(
  Schema.Struct({
    key: Schema.optionalKey(Schema.String),
    value: Schema.optionalKey(Schema.String),
  }),
)

/** Tags as a record; of equal keys the last. */
export const tagsOf = (tags: typeof Tags.Type = []): Readonly<Record<string, string>> =>
  Object.fromEntries(tags.map(({ key = "", value = "" }) => [key, value]))

/** The number of a version. One that is too large for a version is one that is not there. */
export const numberOf = (text: string): Effect.Effect<number, RegistryError> => {
  const value = /^\s*[+-]?\d+\s*$/.test(text) ? Number(text) : Number.NaN
  if (Number.isNaN(value)) {
    return Effect.fail(
      invalid("version", `Parameter 'version' must be an integer, got '${text.slice(0, 300)}'.`),
    )
  }
  return Effect.succeed(Math.max(Math.min(value, Number.MAX_SAFE_INTEGER), 0))
}

/** What a search asks for. */
export const searchOf = Effect.fnUntraced(function* (
  input: typeof Search.Type,
  preset: number,
  most: number,
) {
  const { max_results: given } = input
  if (Number(given) > most) {
    return yield* invalid(
      "max_results",
      `Invalid value ${json(given)} for parameter 'max_results' supplied:  Hint: Value was of type '${typeof given === "string" ? "str" : "int"}'. See the API docs for more information about request parameters.`,
    )
  }
  if (Number(given) < 1) {
    return yield* invalid(
      "max_results",
      `Invalid value for max_results. It must be a positive integer, but got ${given}`,
    )
  }
  return {
    limit: yield* Request.maxResults(given, preset, most),
    filter: input.filter ?? "",
    orderBy: Request.textsOf(input.order_by),
    ...Request.tokenOf(input),
  }
})
