/** Request-time features: one function, the same columns offline and online. */
import { Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { Precision } from "../FeatureService.ts"
import { FeatureStoreError } from "../FeatureStoreError.ts"
import type { InputType, RequestView } from "../RequestView.ts"
import { invalid } from "./failures.ts"

/** A column: numbers with NaN, or strings with null, for none. */
export type RequestColumn = Float64Array | ReadonlyArray<string | null>

/** What a request may send as a column. */
export type Sent = Float64Array | Float32Array | Int32Array | ReadonlyArray<number | string | null>

/** Decodes a column of a request. Throws what is wrong with it. */
export const decodeColumn = (name: string, type: InputType, sent: Sent): RequestColumn => {
  if (type === "string") {
    return Array.from(sent, (value, row): string | null => {
      if (value === null || typeof value === "string") return value
      throw invalid(
        `entities.${name}[${row}]`,
        `'${name}' row ${row} is ${value}; send a string or null`,
      )
    })
  }
  if (ArrayBuffer.isView(sent)) return Float64Array.from(sent)
  return Float64Array.from(sent, (value, row): number => {
    if (value === null) return Number.NaN
    if (typeof value === "number") return value
    const time = type === "timestamp" ? Timestamp.fromIso(value) : undefined
    if (time !== undefined) return time
    const wanted = type === "timestamp" ? "microseconds or ISO 8601" : "a number or null"
    throw invalid(`entities.${name}[${row}]`, `'${name}' row ${row} is '${value}'; send ${wanted}`)
  })
}

/** Runs a request view over its inputs and checks what comes back; columns in feature order. */
export const computeRequest = (
  view: RequestView,
  inputs: Readonly<Record<string, RequestColumn>>,
  rows: number,
  precision: Precision,
): Effect.Effect<
  ReadonlyArray<Float64Array | Float32Array | ReadonlyArray<string | null>>,
  FeatureStoreError
> =>
  Effect.suspend(() => {
    let computed: Readonly<Record<string, unknown>>
    try {
      computed = view.compute(inputs)
    } catch (cause) {
      return new FeatureStoreError({
        reason: "Internal",
        field: view.name,
        message: `request view '${view.name}' threw: ${cause instanceof Error ? cause.message : String(cause)}; its compute must accept missing values (NaN, null)`,
        cause,
      })
    }
    const columns: Array<Float64Array | Float32Array | ReadonlyArray<string | null>> = []
    for (const [name, type] of Object.entries(view.outputs)) {
      const column = Object.hasOwn(computed, name) ? computed[name] : undefined
      const isNumbers =
        column instanceof Float64Array ||
        column instanceof Float32Array ||
        column instanceof Int32Array
      const fits = type === "string" ? Array.isArray(column) : isNumbers
      if (!fits || (column as ArrayLike<unknown>).length !== rows) {
        return new FeatureStoreError({
          reason: "Internal",
          field: `${view.name}.${name}`,
          message: `request view '${view.name}' must return '${name}' as ${type === "string" ? "an array of strings" : "a Float64Array, Float32Array or Int32Array"} with ${rows} values`,
        })
      }
      if (!isNumbers) columns.push(column as ReadonlyArray<string | null>)
      else if (precision === "float32") {
        columns.push(column instanceof Float32Array ? column : Float32Array.from(column))
      } else columns.push(column instanceof Float64Array ? column : Float64Array.from(column))
    }
    return Effect.succeed(columns)
  })
