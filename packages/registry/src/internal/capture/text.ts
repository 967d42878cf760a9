import type { Change, Comparison } from "./compare.ts"

const shorten = (text: string | undefined): string =>
  text === undefined ? "-" : text.length > 60 ? `${text.slice(0, 57)}...` : text

const section = (title: string, changes: ReadonlyArray<Change>): ReadonlyArray<string> =>
  changes.length === 0
    ? [`${title}: same`]
    : [`${title}:`, ...changes.map(({ name, a, b }) => `  ${name}: ${shorten(a)} -> ${shorten(b)}`)]

/** A comparison as lines to read. */
export const comparisonText = (report: Comparison): string => {
  const { a, b, identical, metrics, params, datasets, environment } = report
  const drifted = metrics.filter((metric) => !metric.identical)
  return [
    `${a} and ${b} ${identical ? "are identical" : "differ"}`,
    `metrics: ${metrics.length - drifted.length} of ${metrics.length} identical`,
    ...drifted.map(
      ({ metric, last, points, maxAbsolute, maxRelative }) =>
        `  ${metric}: ${last.a ?? "-"} -> ${last.b ?? "-"}, ${points.a} and ${points.b} points, at most ${maxAbsolute.toPrecision(3)} (${(maxRelative * 100).toPrecision(3)} %) apart`,
    ),
    ...section("parameters", params),
    ...section("datasets", datasets),
    ...section("environment", environment),
  ].join("\n")
}
