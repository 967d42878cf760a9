import { useEffect, useReducer, useRef } from "preact/hooks"
import { api, numberOf, type RunRowAnswer } from "./client.ts"
import { type Column, columnOf } from "./columns.ts"

/** A cell: a number of a metric, a text of a parameter or tag, null where the run has none. */
export type Value = number | string | null

/** How a metric's history becomes one number. */
export type Aggregate = "last" | "min" | "max"

/** Cells of one request. */
const maxCells = 40_000

const chunks = <A>(items: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  )

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Values of runs as far as they were asked for. */
export class ValueCache {
  readonly #columns = new Map<string, Map<string, Value>>()
  readonly #asked = new Set<string>()
  readonly #aggregate: Aggregate
  readonly #changed: () => void

  constructor(aggregate: Aggregate, changed: () => void) {
    this.#aggregate = aggregate
    this.#changed = changed
  }

  /** A value; `undefined` while it is not there yet. */
  get(columnId: string, runId: string): Value | undefined {
    return this.#columns.get(columnId)?.get(runId)
  }

  /** Whether all of them are there. */
  has(columnIds: ReadonlyArray<string>, runIds: ReadonlyArray<string>): boolean {
    return columnIds.every((id) => {
      const column = this.#columns.get(id)
      return column !== undefined && runIds.every((run) => column.has(run))
    })
  }

  /** Forgets what is known of runs that changed; it stays shown until it is read again. */
  forget(runIds: ReadonlyArray<string>): void {
    const gone = new Set(runIds)
    for (const mark of this.#asked) {
      if (gone.has(mark.slice(0, mark.indexOf("\n")))) this.#asked.delete(mark)
    }
  }

  /** Reads what is missing. */
  async want(runIds: ReadonlyArray<string>, columnIds: ReadonlyArray<string>): Promise<void> {
    // Columns that no run has been asked for, which is most of them, are read together.
    const missing = new Map<string, { runs: ReadonlyArray<string>; ids: Array<string> }>()
    for (const column of columnIds) {
      const runs = runIds.filter((run) => !this.#asked.has(`${run}\n${column}`))
      if (runs.length === 0) continue
      const key = runs.length === runIds.length ? "" : column
      const group = missing.get(key) ?? { runs, ids: [] }
      group.ids.push(column)
      missing.set(key, group)
      for (const run of runs) this.#asked.add(`${run}\n${column}`)
    }
    const reads = [...missing.values()].flatMap(({ runs, ids }) => {
      return chunks(runs, 1000).flatMap((some) =>
        chunks(ids, Math.max(1, Math.min(1000, Math.floor(maxCells / some.length)))).map(
          (group) => [some, group] as const,
        ),
      )
    })
    for (const [runs, ids] of reads) {
      try {
        await this.#read(runs, ids)
      } catch {
        // A server that was away for a moment is asked once more; then the next look asks again.
        await pause(1000)
        try {
          await this.#read(runs, ids)
        } catch (error) {
          for (const run of runs) for (const id of ids) this.#asked.delete(`${run}\n${id}`)
          throw error
        }
      }
    }
  }

  async #read(runs: ReadonlyArray<string>, ids: ReadonlyArray<string>): Promise<void> {
    const keysOf = (kind: string) =>
      ids.flatMap((id) => (id.startsWith(`${kind}:`) ? [id.slice(kind.length + 1)] : []))
    const answer = await api.values({
      runs,
      metrics: keysOf("metric"),
      params: keysOf("param"),
      tags: keysOf("tag"),
      aggregate: this.#aggregate,
    })
    for (const { key, values } of answer.metrics) {
      this.#fill(`metric:${key}`, runs, (i) => {
        const value = values[i]
        return value == null ? null : numberOf(value)
      })
    }
    for (const { key, values } of answer.params)
      this.#fill(`param:${key}`, runs, (i) => values[i] ?? null)
    for (const { key, values } of answer.tags)
      this.#fill(`tag:${key}`, runs, (i) => values[i] ?? null)
    this.#changed()
  }

  #fill(id: string, runs: ReadonlyArray<string>, valueOf: (index: number) => Value): void {
    const column = this.#columns.get(id) ?? new Map<string, Value>()
    this.#columns.set(id, column)
    runs.forEach((run, index) => column.set(run, valueOf(index)))
  }
}

/** A cache that draws its component again when values come in. */
export const useValues = (scope: string, aggregate: Aggregate = "last") => {
  const [tick, redraw] = useReducer<number, undefined>((n) => n + 1, 0)
  const held = useRef<{ readonly scope: string; readonly cache: ValueCache }>(undefined)
  const key = `${scope} ${aggregate}`
  if (held.current?.scope !== key) {
    held.current = { scope: key, cache: new ValueCache(aggregate, () => redraw(undefined)) }
  }
  return { cache: held.current.cache, tick }
}

/** Milliseconds a run took, so far when it goes on. */
export const durationOf = (run: RunRowAnswer, now: number = Date.now()): number =>
  (run.ended === undefined ? now : Date.parse(run.ended)) - Date.parse(run.started)

/** A cell of a run, its attributes included. */
export const cellOf = (cache: ValueCache, run: RunRowAnswer, column: Column): Value | undefined => {
  if (column.kind !== "attribute") return cache.get(column.id, run.runId)
  if (column.key === "duration") return durationOf(run)
  const value: unknown = Reflect.get(run, column.key)
  return typeof value === "string" ? value : null
}

/** A value as a number to draw; `undefined` for text. */
export const drawable = (value: Value | undefined): number | undefined => {
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined
  if (typeof value !== "string" || value.trim() === "") return undefined
  const number = Number(value)
  return Number.isFinite(number) ? number : undefined
}

/** Reads columns for runs, and says when they are there. */
export const useColumns = (
  cache: ValueCache,
  runIds: ReadonlyArray<string>,
  columnIds: ReadonlyArray<string>,
  revision: number,
): boolean => {
  const stored = columnIds.filter((id) => columnOf(id)?.kind !== "attribute")
  const mark = `${runIds.length} ${runIds[0]} ${runIds.at(-1)} ${revision}|${stored.join("\n")}`
  useEffect(() => {
    cache.want(runIds, stored).catch(() => undefined)
  }, [cache, mark])
  return cache.has(stored, runIds)
}
