/**
 * Joins stored predictions with the newest labels and groups them by window and segment.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import type { MonitoringError } from "../MonitoringError.ts"
import * as Performance from "../Performance.ts"
import * as Window from "../Window.ts"
import { amount, attempt, binaryLabel, type Chunk, pickOutput, type Scan } from "./scan.ts"
import { unpack } from "./pack.ts"

/** Growing columns of labelled scores. */
class Group {
  readonly window: Window.Window
  readonly segment: string | null
  predictions = 0
  labelled = 0
  #labels = new Float64Array(64)
  #scores = new Float64Array(64)

  constructor(window: Window.Window, segment: string | null) {
    this.window = window
    this.segment = segment
  }

  add(label: number, score: number): void {
    this.predictions++
    if (label !== label) return
    if (this.labelled === this.#labels.length) {
      const grow = (from: Float64Array) => {
        const to = new Float64Array(from.length * 2)
        to.set(from)
        return to
      }
      this.#labels = grow(this.#labels)
      this.#scores = grow(this.#scores)
    }
    this.#labels[this.labelled] = label
    this.#scores[this.labelled++] = score
  }

  get labels(): Float64Array {
    return this.#labels.subarray(0, this.labelled)
  }

  get scores(): Float64Array {
    return this.#scores.subarray(0, this.labelled)
  }
}

/** Rows of performance, oldest window first. */
export const performance = (
  scan: Scan,
  request: Performance.Request,
): Effect.Effect<ReadonlyArray<Performance.Row>, MonitoringError> =>
  Effect.gen(function* () {
    const chunks = yield* scan.list(request)
    const { labels, codes } = yield* scan.labels(request.model)
    const from = request.from ?? -Infinity
    const to = request.to ?? Infinity
    const names = Performance.metricsOf(request)
    // To count labels, any label and any output will do.
    const counting = names.length === 0 && request.output === undefined
    const labelOf = yield* attempt(() =>
      counting || labels.size === 0
        ? (label: number) => label
        : request.task === "regression"
          ? amount(codes)
          : binaryLabel(codes, request.positive),
    )
    const groups = new Map<number, Map<string | null, Group>>()
    const all = { from, to }
    yield* scan.each(chunks, "score", (_chunk: Chunk, data) => {
      const segmentName = request.segment === undefined ? undefined : `s:${request.segment}`
      const columns = unpack(data, (name) => !name.startsWith("s:") || name === segmentName)
      const scores = counting
        ? undefined
        : (columns.get(pickOutput(columns, request.output)) as Float64Array)
      const times = columns.get("k:time") as Float64Array
      const a = columns.get("k:a") as Int32Array
      const b = columns.get("k:b") as Int32Array
      const segments = segmentName === undefined ? undefined : columns.get(segmentName)
      let window: Window.Window = { from: Infinity, to: -Infinity }
      let inWindow: Map<string | null, Group> = new Map()
      for (let i = 0; i < times.length; i++) {
        const time = times[i] as number
        if (time < from || time >= to) continue
        if (time < window.from || time >= window.to) {
          window = Window.of(time, request.by, all)
          inWindow = groups.get(window.from) ?? new Map()
          groups.set(window.from, inWindow)
        }
        const segment = (segments?.[i] ?? null) as string | null
        let group = inWindow.get(segment)
        if (group === undefined) {
          group = new Group(window, segment)
          inWindow.set(segment, group)
        }
        const score = scores === undefined ? 0 : (scores[i] as number)
        // A prediction without a score cannot be judged; it still counts as made.
        const label = score === score ? labels.get(a[i] as number, b[i] as number) : Number.NaN
        group.add(labelOf(label), score)
      }
    })
    const ordered = [...groups.values()]
      .flatMap((segments) => [...segments.values()])
      .sort(
        (x, y) => x.window.from - y.window.from || ((x.segment ?? "") < (y.segment ?? "") ? -1 : 1),
      )
    const rows: Array<Performance.Row> = []
    for (const group of ordered) {
      rows.push(
        yield* attempt(() => ({
          window: group.window,
          ...(request.segment === undefined ? {} : { segment: group.segment }),
          predictions: group.predictions,
          labelled: group.labelled,
          coverage: group.labelled / group.predictions,
          metrics: Object.fromEntries(
            names.map((name) => {
              const value = Performance.compute(name, group.labels, group.scores, request.threshold)
              return [name, Number.isNaN(value) ? null : value]
            }),
          ),
        })),
      )
      yield* Effect.yieldNow
    }
    return rows
  })
