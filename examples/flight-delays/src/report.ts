import { Timestamp } from "@ashlar/core"
import { isoDate } from "./calendar.ts"
import * as Plots from "./plots.ts"
import type { Result } from "./result.ts"
import { count, percent } from "./show.ts"
import type { Summary } from "./summary.ts"

const escape = (text: unknown): string =>
  String(text)
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<unknown>>): string =>
  `<table><thead><tr>${head.map((cell) => `<th>${escape(cell)}</th>`).join("")}</tr></thead><tbody>${rows
    .map((row) => `<tr>${row.map((cell) => `<td>${escape(cell)}</td>`).join("")}</tr>`)
    .join("")}</tbody></table>`

const section = (title: string, text: string, ...content: ReadonlyArray<string>): string =>
  `<section><h2>${escape(title)}</h2><p>${escape(text)}</p>${content.join("")}</section>`

const style = `
body{font:16px/1.5 system-ui,sans-serif;color:#1b1f24;max-width:820px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem}h2{font-size:1.2rem;margin-top:2.2rem}
table{border-collapse:collapse;font-size:14px}td,th{padding:.25rem .7rem;text-align:left;border-bottom:1px solid #d8dee4}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem}dt{color:#57606a}dd{margin:0}
svg{max-width:100%;height:auto}`

const decision = (name: string, turn: Result["first"]) =>
  turn.decision.checks.map((check) => [
    name,
    check.name,
    check.passed ? "passed" : "failed",
    check.message,
  ])

const charts = async (result: Result) => ({
  auc: await Plots.lines(
    result.auc.map(({ model, month, auc }) => ({ model, month, auc })),
    { x: "month", y: "auc", series: "model", title: "AUC" },
  ),
  weeks: await Plots.lines(
    result.weeks.flatMap((week) => [
      { week: isoDate(week.from).slice(5), value: week.auc, measure: "AUC" },
      { week: isoDate(week.from).slice(5), value: week.coverage, measure: "label coverage" },
    ]),
    { x: "week", y: "value", series: "measure", title: "by week" },
  ),
  drift: await Plots.bars(
    result.drift
      .filter((row) => topFeatures(result).has(row.feature))
      .map(({ feature, psi, month }) => ({ feature, psi, month })),
    { x: "psi", y: "feature", series: "month", title: "population stability index" },
  ),
  latency: await Plots.histogram(
    result.scored.flatMap((part) => part.latencies.map((ms) => ({ ms }))),
    { x: "ms", title: "milliseconds a request of 256 flights" },
  ),
})

/** The ten features that moved most. */
const topFeatures = (result: Result): ReadonlySet<string> =>
  new Set(
    result.drift
      .toSorted((a, b) => b.psi - a.psi)
      .map((row) => row.feature)
      .filter((name, i, all) => all.indexOf(name) === i)
      .slice(0, 10),
  )

/** The report: one HTML file that needs nothing else. */
export const html = async (result: Result, summary: Summary): Promise<string> => {
  const chart = await charts(result)
  const turns = result.second === null ? [] : decision("second turn", result.second)
  const body = [
    "<h1>Flight delays: one turn of the loop, and the next</h1>",
    `<dl>${[
      ["Flights read", count(summary.rows_read)],
      ["Dropped as implausible", count(summary.rows_dropped)],
      [
        "Scored over HTTP",
        `${count(summary.rows_scored)} rows, ${summary.requests_per_s} requests/s, p50 ${summary.p50_ms} ms, p99 ${summary.p99_ms} ms`,
      ],
      ["Trigger", summary.trigger ?? "none"],
      [
        "Challenger",
        summary.challenger_promoted === null
          ? "none"
          : summary.challenger_promoted
            ? "promoted"
            : "refused",
      ],
      [
        "This run",
        `${summary.wall_s} s, ${count(summary.peak_rss_mb)} MB at most, ${summary.steps_resumed} steps resumed`,
      ],
    ]
      .map(([name, value]) => `<dt>${escape(name)}</dt><dd>${escape(value)}</dd>`)
      .join("")}</dl>`,
    section(
      "Models by month",
      "Area under the ROC curve for “arrives more than 15 minutes late”, on all flights of each month with the features known at departure.",
      chart.auc,
      table(
        ["model", "version", "month", "AUC", "seen in training"],
        result.auc.map((row) => [
          row.model,
          row.version,
          row.month,
          row.auc.toFixed(4),
          row.inSample ? "yes" : "no",
        ]),
      ),
    ),
    section(
      "Decisions of the gate",
      "A challenger becomes champion only if it wins on data neither model has seen.",
      table(
        ["turn", "check", "result", "why"],
        [...decision("first turn", result.first), ...turns],
      ),
    ),
    section(
      "Live performance",
      "What monitoring measured from the predictions served and the labels that arrived.",
      chart.weeks,
    ),
    section(
      "Drift",
      "How far the served features moved from what the champion learned from: the ten that moved most.",
      chart.drift,
    ),
    section(
      "Worst misses",
      "The predictions that were most wrong, and the features that pushed them there (log-odds).",
      table(
        ["departure", "predicted", "was", "because of"],
        result.misses.map((miss) => [
          Timestamp.toIso(miss.time),
          percent(miss.probability),
          miss.late ? "late" : "on time",
          miss.reasons
            .map(({ column, value }) => `${column} ${value > 0 ? "+" : ""}${value.toFixed(2)}`)
            .join(", "),
        ]),
      ),
    ),
    section("Serving", "Latency of one inference over HTTP.", chart.latency),
    section(
      "Dropped records",
      "Rules that voted against the dropped records; the label model weighed them against each other.",
      table(["rules", "records"], Object.entries(result.cleaned.reasons)),
      table(
        ["rule", "estimated accuracy"],
        Object.entries(result.cleaned.rules).map(([name, value]) => [name, percent(value, 2)]),
      ),
    ),
  ]
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Flight delays</title><style>${style}</style></head><body>${body.join("\n")}</body></html>\n`
}
