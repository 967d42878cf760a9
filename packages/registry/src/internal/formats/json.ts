/** Members of untrusted JSON, each named in the fault it causes. */
import { Fault, type Source, text } from "./source.ts"

/** A JSON object. */
export type JsonObject = { readonly [key: string]: unknown }

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Parses a JSON object from bytes. */
export const parseObject = (bytes: Uint8Array, field: string): JsonObject => {
  const source = text(bytes, field, bytes.length)
  let value: unknown
  try {
    value = JSON.parse(source)
  } catch (cause) {
    throw new Fault(field, `is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
  return object(value, field)
}

/** A whole file as a JSON object. */
export const readObject = async (
  source: Source,
  field: string,
  limit: number,
): Promise<JsonObject> => {
  if (source.size > limit) {
    throw new Fault(field, `has ${source.size} bytes, at most ${limit} are read`, "TooLarge")
  }
  return parseObject(await source.bytes(0, source.size, field), field)
}

/** An own member; `undefined` when it is not there. Never one of the prototype. */
export const member = (value: JsonObject, key: string): unknown =>
  Object.hasOwn(value, key) ? value[key] : undefined

/** The value as an object. */
export const object = (value: unknown, field: string): JsonObject => {
  if (isObject(value)) return value
  throw new Fault(field, "is missing or no object")
}

/** The value as a list of at most `limit` items. */
export const list = (value: unknown, field: string, limit: number): ReadonlyArray<unknown> => {
  if (!Array.isArray(value)) throw new Fault(field, "is missing or no list")
  if (value.length > limit) {
    throw new Fault(field, `has ${value.length} items, at most ${limit} are read`, "TooLarge")
  }
  return value
}

/** The value as text of at most 4096 characters. */
export const string = (value: unknown, field: string): string => {
  if (typeof value !== "string") throw new Fault(field, "is missing or no string")
  if (value.length > 4096) throw new Fault(field, "has more than 4096 characters", "TooLarge")
  return value
}

/** Like {@link string}, `undefined` when it is missing or null. */
export const optionalString = (value: unknown, field: string): string | undefined =>
  value === undefined || value === null ? undefined : string(value, field)

/** A whole number from `low`, also written as a decimal string as XGBoost and protobuf do. */
export const whole = (value: unknown, field: string, low = 0): number => {
  const number = typeof value === "string" && /^-?\d{1,16}$/.test(value) ? Number(value) : value
  if (typeof number === "number" && Number.isSafeInteger(number) && number >= low) return number
  throw new Fault(field, `is missing or no whole number from ${low}`)
}
