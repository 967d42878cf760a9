/** A feature view over one revision of its source, ready to be swept. */
import * as Effect from "effect/Effect"
import type { Predicate } from "../Aggregate.ts"
import { toMicros } from "../Duration.ts"
import type { FeatureStoreError } from "../FeatureStoreError.ts"
import type { FeatureView } from "../FeatureView.ts"
import * as EventIndex from "./eventIndex.ts"
import * as Keys from "./keys.ts"
import {
  asKeys,
  type ColumnUse,
  type SourceColumn,
  type SourceColumns,
  useOf,
} from "./sourceColumns.ts"
import * as Sweep from "./sweep.ts"

/** A feature column in index order: numbers, or codes into texts (-1 is none). */
export interface Latest {
  readonly name: string
  readonly values: Float64Array | Float32Array
  /** Distinct texts when `values` are codes. */
  readonly texts: ReadonlyArray<string> | undefined
}

/** A view over a revision of its source. */
export interface ViewState {
  readonly view: FeatureView
  readonly revision: number
  readonly keys: Keys.KeySpace
  readonly index: EventIndex.EventIndex
  /** Columns of the latest event, in the order of the view's features. */
  readonly latest: ReadonlyArray<Latest>
  /** A sweep of its own, before all events. */
  readonly sweep: () => Sweep.Sweep
}

const holds = (x: number, { op, value }: Predicate): boolean => {
  switch (op) {
    case ">":
      return x > value
    case ">=":
      return x >= value
    case "<":
      return x < value
    case "<=":
      return x <= value
    case "==":
      return x === value
    case "!=":
      return x !== value
  }
}

/** 1 where the comparison holds, 0 where it does not, NaN where there is no value. */
const flags = (values: Float64Array, where: Predicate): Float64Array => {
  const out = new Float64Array(values.length)
  for (let i = 0; i < out.length; i++) {
    const x = values[i] as number
    out[i] = x !== x ? x : holds(x, where) ? 1 : 0
  }
  return out
}

/** The columns a view reads and how. */
export const columnsOf = (view: FeatureView): ReadonlyArray<readonly [string, ColumnUse]> => {
  const out: Array<readonly [string, ColumnUse]> = [
    [view.source.timestamp, "time"],
    [view.source.created ?? view.source.timestamp, "time"],
  ]
  for (const [name, type] of Object.entries(view.entity.joinKeys)) out.push([name, useOf(type)])
  for (const [name, type] of Object.entries(view.columns)) {
    out.push([name, type === "string" ? "text" : "number"])
  }
  for (const { column, where } of view.aggregates) {
    if (column !== undefined) out.push([column, "number"])
    if (where !== undefined) out.push([where.column, "number"])
  }
  return out
}

/** Reads what the view needs and orders it. Sorting millions of events takes a second or two. */
export const make = Effect.fnUntraced(function* (
  view: FeatureView,
  source: SourceColumns,
): Effect.fn.Return<ViewState, FeatureStoreError> {
  const wanted = columnsOf(view)
  const loaded = yield* source.load(wanted)
  const numbersOf = (name: string): Float64Array => {
    const at = wanted.findIndex(([other, use]) => other === name && use === "number")
    return (loaded[at] as SourceColumn & { readonly kind: "number" }).values
  }
  const timeAt = (at: 0 | 1) => (loaded[at] as SourceColumn & { readonly kind: "number" }).values
  const joinKeys = Object.keys(view.entity.joinKeys)
  const keys = Keys.make(joinKeys.map((_, i) => asKeys(loaded[2 + i] as SourceColumn)))
  const event = timeAt(0)
  const created = timeAt(1)
  const index = EventIndex.make({ key: keys.rows, keys: keys.size, event, created })

  const latest = Object.entries(view.columns).map(([name, type], i): Latest => {
    const column = loaded[2 + joinKeys.length + i] as SourceColumn
    if (column.kind === "number" || type !== "string") {
      const values = numbersOf(name)
      return {
        name,
        values: EventIndex.gather(index, values),
        texts: undefined,
      }
    }
    const { codes, values } = column.values
    return {
      name,
      values: EventIndex.gather(index, codes),
      texts: values as ReadonlyArray<string>,
    }
  })

  const columns: Array<Float64Array | Float32Array> = []
  const columnAt = new Map<string, number>()
  const outputs: Array<Sweep.Output> = []
  for (const { column, operation, where, windows } of view.aggregates) {
    let at = -1
    const id = where === undefined ? column : JSON.stringify([where.column, where.op, where.value])
    if (id !== undefined) {
      const known = columnAt.get(id)
      if (known !== undefined) at = known
      else {
        const values = numbersOf(where?.column ?? (column as string))
        at =
          columns.push(
            EventIndex.gather(index, where === undefined ? values : flags(values, where)),
          ) - 1
        columnAt.set(id, at)
      }
    }
    for (const window of windows) outputs.push({ operation, column: at, window: toMicros(window) })
  }
  const compiled = Sweep.compile(index, columns, outputs)
  return {
    view,
    revision: source.revision,
    keys,
    index,
    latest,
    sweep: () => Sweep.start(compiled),
  }
})

/** Status of an entity's row at an instant, before looking at single values. */
export const ageStatus = (
  event: number | undefined,
  now: number,
  ttl: number | undefined,
): "PRESENT" | "NOT_FOUND" | "OUTSIDE_MAX_AGE" => {
  if (event === undefined) return "NOT_FOUND"
  return ttl !== undefined && event < now - ttl ? "OUTSIDE_MAX_AGE" : "PRESENT"
}
