import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { invalid, type RegistryError } from "../../RegistryError.ts"

/** 64-bit integers arrive as numbers, or as text from a query string. */
export const Int64 = Schema.Union([
  Schema.Int,
  Schema.String.check(Schema.isPattern(/^-?\d{1,16}$/)),
])

/** Doubles; JSON spells what it has no number for. */
export const Double = Schema.Union([
  Schema.Finite,
  Schema.String.check(Schema.isPattern(/^(NaN|-?Infinity|[-+]?[\d.]+([eE][-+]?\d+)?)$/)),
])

/** Ids of experiments, which some clients send as numbers. */
export const Id = Schema.Union([Schema.NonEmptyString, Schema.Int])

/** Pairs of a key and a value. */
export const Pairs = Schema.Array(
  Schema.Struct({ key: Schema.NonEmptyString, value: Schema.optionalKey(Schema.String) }),
)

/** A list that a query string with one value has as text. */
export const Texts = Schema.Union([Schema.Array(Schema.String), Schema.String])

/** A request decoded by a schema without services. */
export type Decodable = Schema.ConstraintDecoder<unknown>

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1()

const hint = "See the API docs for more information about request parameters."

const at = (value: unknown, key: PropertyKey): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? Reflect.get(value, key)
    : undefined

/** MLflow's words for a request that does not fit. */
const refusal = (error: Schema.SchemaError, raw: unknown): RegistryError => {
  const [issue] = issuesOf(error.issue).issues
  const path = (issue?.path ?? []).map((part) => (typeof part === "object" ? part.key : part))
  const name = path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`
    return text === "" ? String(key) : `${text}.${String(key)}`
  }, "")
  const value = path.reduce<unknown>(at, raw)
  if (value === undefined || value === null || value === "") {
    return invalid(name, `Missing value for required parameter '${name}'. ${hint}`)
  }
  const shown = JSON.stringify(value)?.slice(0, 200)
  return invalid(
    name,
    `Invalid value ${shown} for parameter '${name}' supplied: ${issue?.message ?? "not valid"}. ${hint}`,
  )
}

/** Some clients encode their JSON twice. */
const unwrapped = (raw: unknown): unknown => {
  if (typeof raw !== "string") return raw ?? {}
  try {
    return JSON.parse(raw)
  } catch {
    return raw
  }
}

/** Old clients say `run_uuid`. */
const renamed = (raw: unknown): unknown =>
  typeof raw === "object" &&
  raw !== null &&
  !Array.isArray(raw) &&
  Object.hasOwn(raw, "run_uuid") &&
  !Object.hasOwn(raw, "run_id")
    ? { ...raw, run_id: Reflect.get(raw, "run_uuid") }
    : raw

/** Decodes a request, or says in MLflow's words what is wrong with it. */
export const decoder = <S extends Decodable>(schema: S) => {
  const decode = Schema.decodeUnknownEffect(schema)
  return (body: unknown): Effect.Effect<S["Type"], RegistryError> => {
    const raw = renamed(unwrapped(body))
    return Effect.mapError(decode(raw), (error) => refusal(error, raw))
  }
}

/** A page size within MLflow's bounds. */
export const maxResults = (
  given: number | string | undefined,
  preset: number,
  most: number,
): Effect.Effect<number, RegistryError> => {
  const value = given === undefined ? preset : Number(given)
  return value > 0 && value <= most
    ? Effect.succeed(value)
    : Effect.fail(
        invalid(
          "max_results",
          `Invalid value ${value} for parameter 'max_results' supplied: it must be a positive integer of at most ${most}. ${hint}`,
        ),
      )
}

/** Pairs as a record; MLflow cuts values that are too long. */
export const recordOf = (
  pairs: typeof Pairs.Type | undefined,
  longest: number,
): Readonly<Record<string, string>> =>
  Object.fromEntries((pairs ?? []).map(({ key, value }) => [key, (value ?? "").slice(0, longest)]))

/** Refuses what would change the answer and is not there. */
export const unsupported = (field: string, what: string): RegistryError =>
  invalid(field, `This server does not support ${what} yet: leave '${field}' out.`)

/** The page token of a request, if it has one. */
export const tokenOf = (input: { readonly page_token?: string }): { readonly token?: string } =>
  input.page_token === undefined || input.page_token === "" ? {} : { token: input.page_token }
