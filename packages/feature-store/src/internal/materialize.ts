/** Computes the rows of all entity keys as of an instant and writes them to the online store. */
import * as Effect from "effect/Effect"
import type { OnlineStore, OnlineStoreError, OnlineWrite, RowVersion } from "../OnlineStore.ts"
import { pack, tableOf } from "./rows.ts"
import type { Sweep } from "./sweep.ts"
import type { ViewState } from "./viewState.ts"

/** Keys computed and written at a time. */
const batch = 2048

/** A sweep that goes forward from one materialisation to the next. */
export interface Runner {
  readonly state: ViewState
  readonly sweep: Sweep
  at: number
}

/** A runner before all events. */
export const start = (state: ViewState): Runner => ({
  state,
  sweep: state.sweep(),
  at: Number.NEGATIVE_INFINITY,
})

/** The row of a key as of the instant the runner's sweep is at; undefined when nothing is known. */
const rowOf = (runner: Runner, key: number, text: string, scratch: ReadonlyArray<Float64Array>) => {
  const { state, sweep } = runner
  const position = sweep.latest(key)
  if (position < 0) return undefined
  const { index, latest, revision, view } = state
  sweep.read(key, scratch, 0)
  const numeric = latest.filter(({ texts }) => texts === undefined)
  const numbers = new Float64Array(numeric.length + scratch.length)
  numeric.forEach(({ values }, i) => (numbers[i] = values[position] as number))
  scratch.forEach((value, i) => (numbers[numeric.length + i] = value[0] as number))
  const texts = latest.flatMap(({ texts, values }) =>
    texts === undefined ? [] : [texts[values[position] as number] ?? null],
  )
  const event = index.event[position] as number
  const created = index.created[position] as number
  const order = (index.row[position] as number) + 1
  const version: RowVersion =
    view.aggregates.length > 0 ? [runner.at, revision, 0] : [event, created, order]
  return { key: text, event, version, payload: pack(numbers, texts) }
}

/** Moves the runner to the instant and writes every row; returns how many. */
export const run = Effect.fnUntraced(function* (
  runner: Runner,
  at: number,
  online: OnlineStore["Service"],
): Effect.fn.Return<number, OnlineStoreError> {
  const { state, sweep } = runner
  const { keys, view } = state
  if (at < runner.at) sweep.reset()
  runner.at = at
  const table = tableOf(view)
  const scratch = view.features.slice(state.latest.length).map(() => new Float64Array(1))
  let written = 0
  for (let from = 0; from < keys.size; from += batch) {
    const rows: Array<OnlineWrite> = []
    for (let key = from; key < Math.min(keys.size, from + batch); key++) {
      sweep.advance(key, at)
      const row = rowOf(runner, key, keys.text(key), scratch)
      if (row !== undefined) rows.push(row)
    }
    yield* online.write(table, rows)
    written += rows.length
    yield* Effect.yieldNow
  }
  return written
})
