/**
 * Measures what a rule looks at, in its newest complete windows.
 *
 * @module
 */
import { Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { Monitoring } from "../Monitoring.ts"
import { MonitoringError } from "../MonitoringError.ts"
import { lowerIsBetter, type MetricName } from "../Performance.ts"
import type { Rule } from "../Rule.ts"
import * as Window from "../Window.ts"

type Service = Monitoring["Service"]

/** What a rule found in its newest complete window. */
export interface Found {
  readonly window: Window.Window
  readonly value: number | null
  readonly samples: number
  readonly bad: boolean
  readonly reason: string
}

/** One window, measured. */
interface Measured {
  readonly from: number
  readonly value: number | null
  readonly samples: number
  readonly detail: string
}

const describe = (value: number): string => Number(value.toPrecision(4)).toString()

const versionOf = (rule: Rule) => (rule.version === undefined ? {} : { version: rule.version })

const binaryTask = (metric: MetricName) =>
  metric === "mae" || metric === "rmse" || metric === "bias" ? { task: "regression" as const } : {}

const drift = Effect.fnUntraced(function* (
  monitoring: Service,
  rule: Rule,
  when: Extract<Rule["when"], { readonly kind: "drift-share" | "column-drift" }>,
  span: Window.Window,
) {
  const windows = yield* monitoring.drift({
    model: rule.model,
    ...versionOf(rule),
    ...(when.reference === undefined ? {} : { reference: when.reference }),
    ...(when.kind === "column-drift" ? { columns: [when.column], measure: when.measure } : {}),
    by: rule.by,
    ...span,
  })
  return windows.map(({ window, report }): Measured => {
    const [column] = report.columns
    const drifted = report.columns.filter((c) => c.drifted).map((c) => c.column)
    return {
      from: window.from,
      samples: report.rows[1],
      value:
        when.kind === "drift-share"
          ? report.share
          : column === undefined
            ? null
            : column[when.measure],
      detail:
        when.kind === "drift-share"
          ? `drifted: ${drifted.join(", ") || "none"} of ${report.columns.length} features`
          : `${when.measure} of '${when.column}', adjusted p = ${describe(column?.pAdjusted ?? Number.NaN)}`,
    }
  })
})

/** How much worse a value is; a bias is as bad as it is large, whatever its sign. */
const worsening = (metric: MetricName, value: number, baseline: number): number =>
  metric === "bias"
    ? Math.abs(value) - Math.abs(baseline)
    : lowerIsBetter.has(metric)
      ? value - baseline
      : baseline - value

const performance = Effect.fnUntraced(function* (
  monitoring: Service,
  rule: Rule,
  when: Extract<Rule["when"], { readonly kind: "performance-drop" }>,
  span: Window.Window,
) {
  const ask = (by: Window.By, range: Window.Window) =>
    monitoring.performance({
      model: rule.model,
      ...versionOf(rule),
      by,
      ...range,
      metrics: [when.metric],
      ...binaryTask(when.metric),
      ...(when.output === undefined ? {} : { output: when.output }),
      ...(when.positive === undefined ? {} : { positive: when.positive }),
    })
  const baseline =
    typeof when.baseline === "number"
      ? when.baseline
      : ((yield* ask("all", when.baseline))[0]?.metrics[when.metric] ?? null)
  const rows = yield* ask(rule.by, span)
  return rows.map((row): Measured => {
    const value = row.metrics[when.metric] ?? null
    const drop =
      value === null || baseline === null ? null : worsening(when.metric, value, baseline)
    return {
      from: row.window.from,
      samples: row.labelled,
      value: drop,
      detail:
        drop === null
          ? `${when.metric} is not known here or at the baseline`
          : `${when.metric} ${describe(value ?? 0)} against ${describe(baseline ?? 0)}, ${describe(row.coverage * 100)} % of labels known`,
    }
  })
})

const coverage = Effect.fnUntraced(function* (
  monitoring: Service,
  rule: Rule,
  span: Window.Window,
) {
  const rows = yield* monitoring.performance({
    model: rule.model,
    ...versionOf(rule),
    by: rule.by,
    ...span,
    metrics: [],
    task: "regression",
  })
  return rows.map((row): Measured => ({
    from: row.window.from,
    samples: row.predictions,
    value: row.coverage,
    detail: `${row.labelled} of ${row.predictions} labels known`,
  }))
})

/** The newest complete window of a rule at an instant, and whether it and those before are bad. */
export const measureRule: (
  monitoring: Service,
  rule: Rule,
  at: number,
) => Effect.Effect<Found, MonitoringError> = Effect.fnUntraced(function* (monitoring, rule, at) {
  const length = rule.forWindows ?? 1
  const windows: Array<Window.Window> = []
  let window = Window.before(Window.of(at, rule.by), rule.by)
  for (let i = 0; i < length; i++) {
    windows.push(window)
    window = Window.before(window, rule.by)
  }
  const newest = windows[0] ?? window
  const span = { from: windows[windows.length - 1]?.from ?? newest.from, to: newest.to }
  const { when } = rule
  const measuring: Effect.Effect<ReadonlyArray<Measured>, MonitoringError> = when.kind ===
  "performance-drop"
    ? performance(monitoring, rule, when, span)
    : when.kind === "label-coverage"
      ? coverage(monitoring, rule, span)
      : drift(monitoring, rule, when, span)
  // A model without predictions yet is nothing to alarm anybody about.
  const measured = yield* measuring.pipe(
    Effect.catchIf(
      (error) => error.reason === "NotFound" && error.field === "model",
      () => Effect.succeed([]),
    ),
  )
  const minimum = rule.minSamples ?? 100
  const of = (each: Window.Window): Measured =>
    measured.find((m) => m.from === each.from) ?? {
      from: each.from,
      value: null,
      samples: 0,
      detail: "no predictions",
    }
  const isBad = ({ value, samples }: Measured): boolean =>
    value !== null &&
    samples >= minimum &&
    (when.kind === "label-coverage" ? value < rule.threshold : value >= rule.threshold)
  const newestMeasured = of(newest)
  const usable = newestMeasured.samples >= minimum ? newestMeasured.value : null
  const bad = windows.every((each) => isBad(of(each)))
  const period = `${Timestamp.toIso(newest.from)} to ${Timestamp.toIso(newest.to)}`
  const reason =
    usable === null
      ? `${rule.name}: too little to measure from ${period} (${newestMeasured.samples} samples of ${minimum}; ${newestMeasured.detail})`
      : `${rule.name}: ${when.kind} is ${describe(usable)} from ${period} (threshold ${rule.threshold}, ${length} window${length === 1 ? "" : "s"}; ${newestMeasured.detail})`
  return { window: newest, value: usable, samples: newestMeasured.samples, bad, reason }
})
