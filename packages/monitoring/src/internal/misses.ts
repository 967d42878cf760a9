/**
 * The predictions that were most wrong, with everything that was recorded about them.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import type { MonitoringError } from "../MonitoringError.ts"
import {
  amount,
  attempt,
  binaryLabel,
  type Chunk,
  pickOutput,
  type Scan,
  type Selection,
} from "./scan.ts"
import { unpack } from "./pack.ts"

/** A prediction with its truth. `loss` is log loss in nats, or the absolute error of a regression. */
export interface Miss {
  readonly predictionId: string
  readonly version: string
  /** Microseconds UTC. */
  readonly time: number
  readonly features: Readonly<Record<string, number | string | null>>
  readonly outputs: Readonly<Record<string, number | string | null>>
  readonly label: number
  readonly loss: number
}

/** Which misses. */
export interface MissRequest extends Selection {
  readonly limit: number
  readonly output?: string | undefined
  readonly task?: "binary" | "regression" | undefined
  readonly positive?: string | undefined
}

interface Candidate {
  readonly chunk: Chunk
  readonly row: number
  readonly loss: number
  readonly label: number
}

const plain = (value: number | string | null | undefined): number | string | null =>
  value === undefined || (typeof value === "number" && Number.isNaN(value)) ? null : value

const record = (
  columns: ReadonlyMap<string, ArrayLike<number | string | null>>,
  row: number,
  prefix = "",
) =>
  Object.fromEntries(
    [...columns]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, column]) => [name.slice(prefix.length), plain(column[row])]),
  )

const lossOf = (task: "binary" | "regression", label: number, score: number): number => {
  if (task === "regression") return Math.abs(score - label)
  const p = Math.min(1 - Number.EPSILON, Math.max(Number.EPSILON, score))
  return label === 1 ? -Math.log(p) : -Math.log1p(-p)
}

/** Worst first, at most `limit`. */
export const worstMisses = (
  scan: Scan,
  request: MissRequest,
): Effect.Effect<ReadonlyArray<Miss>, MonitoringError> =>
  Effect.gen(function* () {
    const chunks = yield* scan.list(request)
    const { labels, codes } = yield* scan.labels(request.model)
    const task = request.task ?? "binary"
    if (labels.size === 0) return []
    const labelOf = yield* attempt(() =>
      task === "regression" ? amount(codes) : binaryLabel(codes, request.positive),
    )
    const from = request.from ?? -Infinity
    const to = request.to ?? Infinity
    let kept: Array<Candidate> = []
    let bar = -Infinity
    const shrink = (): void => {
      kept.sort((x, y) => y.loss - x.loss)
      kept = kept.slice(0, request.limit)
      bar = kept.length < request.limit ? -Infinity : (kept[kept.length - 1]?.loss ?? -Infinity)
    }
    yield* scan.each(chunks, "score", (chunk, data) => {
      const columns = unpack(data, (name) => !name.startsWith("s:"))
      const scores = columns.get(pickOutput(columns, request.output)) as Float64Array
      const times = columns.get("k:time") as Float64Array
      const a = columns.get("k:a") as Int32Array
      const b = columns.get("k:b") as Int32Array
      for (let row = 0; row < times.length; row++) {
        const time = times[row] as number
        const score = scores[row] as number
        if (time < from || time >= to || score !== score) continue
        const label = labelOf(labels.get(a[row] as number, b[row] as number))
        if (label !== label) continue
        const loss = lossOf(task, label, score)
        if (loss <= bar) continue
        kept.push({ chunk, row, loss, label })
        if (kept.length >= request.limit * 2 + 64) shrink()
      }
    })
    shrink()
    const touched = [...new Set(kept.map((c) => c.chunk))].sort(
      (x, y) => x.seq - y.seq || x.part - y.part,
    )
    const made = new Map<Candidate, Omit<Miss, "predictionId" | "features">>()
    const features = new Map<Candidate, Miss["features"]>()
    const ids = new Map<Candidate, string>()
    const of = (chunk: Chunk) =>
      kept.filter((c) => c.chunk.seq === chunk.seq && c.chunk.part === chunk.part)
    yield* scan.each(touched, "score", (chunk, data) => {
      const columns = unpack(data)
      const times = columns.get("k:time") as Float64Array
      for (const c of of(chunk)) {
        made.set(c, {
          version: chunk.version,
          time: times[c.row] as number,
          outputs: record(columns, c.row, "o:"),
          label: c.label,
          loss: c.loss,
        })
      }
    })
    yield* scan.each(touched, "feature", (chunk, data) => {
      const columns = unpack(data)
      for (const c of of(chunk)) features.set(c, record(columns, c.row))
    })
    yield* scan.each(touched, "id", (chunk, data) => {
      const all: ReadonlyArray<string> = JSON.parse(Buffer.from(data).toString("utf8"))
      for (const c of of(chunk)) ids.set(c, all[c.row] ?? "")
    })
    return kept.flatMap((c) => {
      const rest = made.get(c)
      return rest === undefined
        ? []
        : [{ predictionId: ids.get(c) ?? "", features: features.get(c) ?? {}, ...rest }]
    })
  })
