import type { Result } from "./result.ts"
import { count, percent } from "./show.ts"

/** What only the process knows. */
export interface Run {
  readonly wallSeconds: number
  readonly peakRssMb: number
  readonly stepsResumed: number
}

/** The numbers of a run, as `summary.json` holds them. */
export interface Summary {
  readonly rows_read: number
  readonly rows_dropped: number
  /** AUC by model and month. */
  readonly auc: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly requests_per_s: number
  readonly p50_ms: number
  readonly p99_ms: number
  readonly rows_scored: number
  readonly rows_per_s: number
  /** Share of features whose distribution moved, by month. */
  readonly drift: Readonly<Record<string, number>>
  readonly trigger: string | null
  readonly challenger_promoted: boolean | null
  readonly wall_s: number
  readonly peak_rss_mb: number
  readonly steps_resumed: number
}

const quantile = (sorted: ReadonlyArray<number>, q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN

const round = (value: number, digits: number): number => Number(value.toFixed(digits))

/** The summary of a result. */
export const of = (result: Result, run: Run): Summary => {
  const latencies = result.scored.flatMap((part) => part.latencies).sort((a, b) => a - b)
  const sum = (pick: (part: Result["scored"][number]) => number) =>
    result.scored.reduce((total, part) => total + pick(part), 0)
  const seconds = sum((part) => part.seconds)
  const auc: Record<string, Record<string, number>> = {}
  for (const { model, month, auc: value } of result.auc) {
    auc[model] = { ...auc[model], [month]: round(value, 4) }
  }
  const drift: Record<string, number> = {}
  for (const month of new Set(result.drift.map((row) => row.month))) {
    const rows = result.drift.filter((row) => row.month === month)
    drift[month] = round(rows.filter((row) => row.drifted).length / rows.length, 3)
  }
  return {
    rows_read: result.cleaned.read,
    rows_dropped: result.cleaned.dropped,
    auc,
    requests_per_s: round(sum((part) => part.requests) / seconds, 1),
    p50_ms: round(quantile(latencies, 0.5), 2),
    p99_ms: round(quantile(latencies, 0.99), 2),
    rows_scored: sum((part) => part.rows),
    rows_per_s: Math.round(sum((part) => part.rows) / seconds),
    drift,
    trigger: result.fired?.reason ?? null,
    challenger_promoted: result.second?.promoted ?? null,
    wall_s: round(run.wallSeconds, 1),
    peak_rss_mb: Math.round(run.peakRssMb),
    steps_resumed: run.stepsResumed,
  }
}

/** The summary for a terminal. */
export const text = (result: Result, summary: Summary): string => {
  const months = [...new Set(result.auc.map((row) => row.month))]
  const aucOf = (model: string, month: string) => {
    const row = result.auc.find((r) => r.model === model && r.month === month)
    return row === undefined ? "-" : `${row.auc.toFixed(4)}${row.inSample ? "*" : " "}`
  }
  const turn = (name: string, value: Result["first"]) =>
    `${name}: trees ${value.trees.auc.toFixed(4)}, network ${value.network.auc.toFixed(4)} (validation AUC); ` +
    `version ${value.version} ${value.promoted ? "promoted" : "refused"}: ${value.decision.checks
      .filter((check) => !check.passed || check.name === "auc")
      .map((check) => check.message)
      .join("; ")}`
  const lines = [
    "",
    `Flights      ${count(summary.rows_read)} read, ${count(summary.rows_dropped)} dropped as implausible`,
    turn("First turn ", result.first),
    result.fired === null
      ? "Trigger      none: June did not differ enough"
      : `Trigger      ${result.fired.reason}`,
    ...(result.second === null ? [] : [turn("Second turn", result.second)]),
    "",
    `AUC          ${months.map((month) => month.padEnd(9)).join("")} (* seen in training)`,
    ...["champion", "challenger"]
      .filter((model) => result.auc.some((row) => row.model === model))
      .map(
        (model) =>
          `${model.padEnd(13)}${months.map((month) => aucOf(model, month).padEnd(9)).join("")}`,
      ),
    `Drifted      ${Object.entries(summary.drift)
      .map(([month, share]) => `${month} ${percent(share, 0)}`)
      .join(", ")} of the features`,
    `Serving      ${count(summary.rows_scored)} rows scored, ${summary.requests_per_s} requests/s, ${count(summary.rows_per_s)} rows/s, p50 ${summary.p50_ms} ms, p99 ${summary.p99_ms} ms`,
    `This run     ${summary.wall_s} s, ${count(summary.peak_rss_mb)} MB at most, ${summary.steps_resumed} steps resumed`,
    "",
  ]
  return lines.join("\n")
}
