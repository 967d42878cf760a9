import type { Kysely, QueryExecutorProvider } from "kysely"
import type { DatabaseError, Query } from "../../Database.ts"
import { invalid } from "./errors.ts"

/** What both drivers can bind. */
export type Parameter = string | number | bigint | null | Uint8Array

const describe = (value: unknown): string =>
  value instanceof Date
    ? "a Date (store Timestamp microseconds)"
    : Array.isArray(value)
      ? "an array (store JSON text)"
      : typeof value === "object"
        ? "an object (store JSON text)"
        : typeof value

const convert = (value: unknown, index: number): Parameter => {
  switch (typeof value) {
    case "string":
      return value
    case "bigint":
      if (value >= -(2n ** 63n) && value < 2n ** 63n) return value
      throw invalid(`Parameter ${index + 1} is ${value}, outside the 64-bit integers.`)
    case "number":
      if (!Number.isNaN(value)) return value
      throw invalid(
        `Parameter ${index + 1} is NaN, which SQLite would store as null. Store null instead.`,
      )
    case "boolean":
      return value ? 1 : 0
    case "undefined":
      throw invalid(`Parameter ${index + 1} is undefined. Pass null for a missing value.`)
    default:
      if (value === null || value instanceof Uint8Array) return value
      throw invalid(
        `Parameter ${index + 1} is ${describe(value)}. Pass a string, number, bigint, boolean, null or Uint8Array.`,
      )
  }
}

/**
 * The parameters as the drivers take them; the same array when nothing had to change, which is
 * nearly always. Throws `DatabaseError` for a value no column can hold.
 */
export const bind = (values: ReadonlyArray<unknown>): ReadonlyArray<Parameter> => {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    const type = typeof value
    if (type === "string" || value === null) continue
    if (type === "number" && value === value) continue
    const bound = convert(value, i)
    if (bound !== value) return values.map(convert)
  }
  return values as ReadonlyArray<Parameter>
}

/** Stands in for the parameter with this index while a prepared query is compiled. */
class Placeholder {
  readonly index: number
  constructor(index: number) {
    this.index = index
  }
}

/** A statement with its text fixed and its parameters still to come. */
export interface Template {
  readonly sql: string
  readonly fill: (parameters: ReadonlyArray<unknown>) => ReadonlyArray<unknown>
}

const fewer = (expected: number, given: number): DatabaseError =>
  invalid(`A prepared query takes ${expected} parameters and was given ${given}.`)

/** Compiles once, with placeholders where the parameters go. */
export const template = (
  build: Kysely<unknown> & QueryExecutorProvider,
  make: (placeholders: ReadonlyArray<unknown>) => Query<unknown>,
  count: number,
): Template => {
  const placeholders = Array.from({ length: count }, (_, index) => new Placeholder(index))
  const compiled = make(placeholders).compile(build)
  const slots = compiled.parameters
  const used = new Set(slots.filter((slot) => slot instanceof Placeholder).map((s) => s.index))
  if (used.size !== count) {
    throw invalid(
      `A prepared query must use each of its ${count} parameters as a plain value; ${count - used.size} of them do not appear in the statement.`,
    )
  }
  const inOrder =
    slots.length === count && slots.every((s, i) => s instanceof Placeholder && s.index === i)
  const fill = inOrder
    ? (parameters: ReadonlyArray<unknown>) => {
        if (parameters.length !== count) throw fewer(count, parameters.length)
        return parameters
      }
    : (parameters: ReadonlyArray<unknown>) => {
        if (parameters.length !== count) throw fewer(count, parameters.length)
        return slots.map((slot) => (slot instanceof Placeholder ? parameters[slot.index] : slot))
      }
  return { sql: compiled.sql, fill }
}
