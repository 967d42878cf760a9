/** Columns of a source in memory, read from its files once per revision. */
import { Dataset } from "@ashlar/core"
import type * as Arrow from "apache-arrow"
import * as Effect from "effect/Effect"
import type { KeyType } from "../Entity.ts"
import type { FeatureStoreError } from "../FeatureStoreError.ts"
import { fromCause } from "./failures.ts"
import { encodeNumbers, type KeyColumn } from "./keys.ts"

/** How a column is read: microseconds, numbers with NaN for null, or codes of distinct texts. */
export type ColumnUse = "time" | "number" | "text"

/** A column in ingest order. */
export type SourceColumn =
  | { readonly kind: "number"; readonly values: Float64Array }
  | { readonly kind: "text"; readonly values: KeyColumn }

/** Reads one column of parts, one after the other. */
const readColumn = Effect.fnUntraced(function* (
  tables: ReadonlyArray<Arrow.Table>,
  name: string,
  use: ColumnUse,
): Effect.fn.Return<SourceColumn, Dataset.DatasetError> {
  const rows = tables.reduce((sum, table) => sum + table.numRows, 0)
  let at = 0
  if (use !== "text") {
    const values = new Float64Array(rows)
    for (const table of tables) {
      values.set(
        yield* use === "time" ? Dataset.micros(table, name) : Dataset.float64(table, name),
        at,
      )
      at += table.numRows
    }
    return { kind: "number", values }
  }
  const codes = new Int32Array(rows)
  const values: Array<string> = []
  const codeOf = new Map<string, number>()
  for (const table of tables) {
    const part = yield* Dataset.dictionary(table, name)
    const map = Int32Array.from(part.values, (value) => {
      let code = codeOf.get(value)
      if (code === undefined) codeOf.set(value, (code = values.push(value) - 1))
      return code
    })
    for (let i = 0; i < part.codes.length; i++) {
      const code = part.codes[i] as number
      codes[at + i] = code < 0 ? -1 : (map[code] as number)
    }
    at += table.numRows
  }
  return { kind: "text", values: { codes, values } }
})

/** Columns of one source at one revision. */
export interface SourceColumns {
  readonly revision: number
  /** Reads what is missing and gives all that is asked for, in order. */
  readonly load: (
    wanted: ReadonlyArray<readonly [name: string, use: ColumnUse]>,
  ) => Effect.Effect<ReadonlyArray<SourceColumn>, FeatureStoreError>
}

/** Reads columns of a source's parts. */
export type ReadParts = (
  columns: ReadonlyArray<string>,
) => Effect.Effect<ReadonlyArray<Arrow.Table>, FeatureStoreError>

/** Columns of a source, kept as long as this object is. */
export const make = (revision: number, read: ReadParts): SourceColumns => {
  const held = new Map<string, SourceColumn>()
  const load: SourceColumns["load"] = Effect.fnUntraced(function* (wanted) {
    const missing = wanted.filter(([name, use]) => !held.has(`${use}:${name}`))
    if (missing.length > 0) {
      const names = [...new Set(missing.map(([name]) => name))]
      const tables = yield* read(names)
      for (const [name, use] of missing) {
        held.set(`${use}:${name}`, yield* readColumn(tables, name, use))
      }
    }
    return wanted.map(([name, use]) => held.get(`${use}:${name}`) as SourceColumn)
  }, Effect.mapError(fromCause))
  return { revision, load }
}

/** A join key column, whatever its type. */
export const asKeys = (column: SourceColumn): KeyColumn =>
  column.kind === "text" ? column.values : encodeNumbers(column.values)

/** How a join key of the type is read. */
export const useOf = (type: KeyType): ColumnUse => (type === "string" ? "text" : "number")
