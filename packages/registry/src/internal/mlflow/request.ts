import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { invalid, type RegistryError } from "../../RegistryError.ts"
import { json } from "./validate.ts"

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

/** The items of {@link Texts}. */
export const textsOf = (texts: typeof Texts.Type | undefined): ReadonlyArray<string> =>
  typeof texts === "string" ? [texts] : (texts ?? [])

/** Which of the living and the deleted to find; protocol buffers take names and numbers. */
export const ViewType = Schema.Literals([
  ...(["ACTIVE_ONLY", "DELETED_ONLY", "ALL"] as const),
  ...([1, 2, 3, "1", "2", "3"] as const),
])

/** MLflow's view as the services name it. */
export const viewOf = (view: typeof ViewType.Type | undefined): "active" | "deleted" | "all" => {
  const name = String(view)
  if (name === "ALL" || name === "3") return "all"
  return name === "DELETED_ONLY" || name === "2" ? "deleted" : "active"
}

/** A request decoded by a schema without services. */
export type Decodable = Schema.ConstraintDecoder<unknown>

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1()

const hint = "See the API docs for more information about request parameters."

const at = (value: unknown, key: PropertyKey): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? Reflect.get(value, key)
    : undefined

/** What Python calls the type of a JSON value. */
const typeOf = (value: unknown): string => {
  if (typeof value === "string") return "str"
  if (typeof value === "boolean") return "bool"
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float"
  return Array.isArray(value) ? "list" : "dict"
}

/** How much of a value a message shows. */
const most = 1000

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
  return invalid(
    name,
    `Invalid value ${json(value).slice(0, most)} for parameter '${name}' supplied:  Hint: Value was of type '${typeOf(value)}'. ${hint}`,
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

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Old clients say `run_uuid`. */
const renamed = (raw: Readonly<Record<string, unknown>>): unknown =>
  Object.hasOwn(raw, "run_uuid") && (raw["run_id"] ?? "") === ""
    ? { ...raw, run_id: raw["run_uuid"] }
    : raw

/** Protocol buffers have no null: a field that is null is not there. */
const withoutNulls = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) =>
      item === null ? [] : [[key, withoutNulls(item)] as const],
    ),
  )
}

/** Decodes a request, or says in MLflow's words what is wrong with it. */
export const decoder = <S extends Decodable>(schema: S) => {
  const decode = Schema.decodeUnknownEffect(schema)
  return (body: unknown): Effect.Effect<S["Type"], RegistryError> => {
    const given = unwrapped(body)
    if (!isObject(given)) {
      return Effect.fail(
        invalid("body", `The request is a JSON object with named parameters. ${hint}`),
      )
    }
    const raw = renamed(given)
    return Effect.catch(decode(raw), () => {
      // Requests seldom have nulls, so the first try leaves them alone.
      const clean = withoutNulls(raw)
      return Effect.mapError(decode(clean), (error) => refusal(error, clean))
    })
  }
}

/** A page size within MLflow's bounds. */
export const maxResults = (
  given: number | string | undefined,
  preset: number,
  most: number,
): Effect.Effect<number, RegistryError> => {
  const value = given === undefined ? preset : Number(given)
  if (value >= 1 && value <= most) return Effect.succeed(value)
  const rule = value < 1 ? "a positive integer" : `at most ${most}`
  return Effect.fail(
    invalid(
      "max_results",
      `Invalid value ${value} for parameter 'max_results' supplied. It must be ${rule}`,
    ),
  )
}

/** Pairs as a record; MLflow cuts values that are too long. */
export const recordOf = (
  pairs: typeof Pairs.Type | undefined,
  longest = Number.POSITIVE_INFINITY,
): Readonly<Record<string, string>> =>
  Object.fromEntries((pairs ?? []).map(({ key, value }) => [key, (value ?? "").slice(0, longest)]))

/** The page token of a request, if it has one. */
export const tokenOf = (input: { readonly page_token?: string }): { readonly token?: string } =>
  input.page_token === undefined || input.page_token === "" ? {} : { token: input.page_token }
