import {
  type Band,
  formatDuration,
  formatNumber,
  formatTime,
  type Line,
  LineChart,
  Spinner,
} from "@ashlar/core/ui/index.ts"
import { useMemo } from "preact/hooks"
import { type Axis, smooth, summarise, toGrid } from "./curves.ts"
import { type Range, useHistories } from "./histories.ts"

/** How curves are drawn. */
export interface CurveOptions {
  readonly axis: Axis
  /** Weight of the moving average, 0 to below 1. */
  readonly smoothing: number
  readonly logX: boolean
  readonly logY: boolean
}

/** A run as a curve. */
export interface CurveRun {
  readonly runId: string
  readonly label: string
  readonly color: string
  /** Runs of one group are drawn as their mean and its spread. */
  readonly group: string | undefined
}

const axisFormat = (axis: Axis) => (x: number) =>
  axis === "step"
    ? formatNumber(x)
    : axis === "time"
      ? formatTime(new Date(x).toISOString())
      : formatDuration(x)

/** One metric of many runs. Dragging over a part asks the server for that part in full. */
export const MetricChart = (props: {
  readonly metric: string
  readonly runs: ReadonlyArray<CurveRun>
  readonly options: CurveOptions
  readonly height: number
  readonly theme: string
  readonly revision: number
  /** The part of the axis that is shown; all without one. */
  readonly range: Range
  readonly onRange: (range: Range) => void
}) => {
  const { metric, runs, options } = props
  const { axis, smoothing } = options
  const { range, onRange: setRange } = props
  const ids = useMemo(() => runs.map(({ runId }) => runId), [runs])
  const samples = ids.length > 200 ? 160 : 400
  const histories = useHistories(ids, metric, axis, range, samples, props.revision)
  const shown = useMemo(() => {
    const { x, lines: found } = toGrid(histories.value ?? [], axis)
    const about = new Map(runs.map((run) => [run.runId, run]))
    const lines: Array<Line> = []
    const bands: Array<Band> = []
    const groups = new Map<
      string,
      { color: string; members: Array<ReadonlyArray<number | null>> }
    >()
    for (const { runId, values } of found) {
      const run = about.get(runId)
      if (run === undefined) continue
      const { label, color, group } = run
      if (group !== undefined) {
        const known = groups.get(group) ?? { color, members: [] }
        known.members.push(smooth(values, smoothing))
        groups.set(group, known)
        continue
      }
      if (smoothing > 0) {
        lines.push({
          id: `${runId} raw`,
          label,
          color,
          values,
          width: 1,
          alpha: 0.22,
          isBackground: true,
        })
      }
      lines.push({ id: runId, label, color, values: smooth(values, smoothing) })
    }
    for (const [group, { color, members }] of groups) {
      const { mean, low, high } = summarise(x, members)
      const edge = { color: "transparent", width: 0, isBackground: true, label: group }
      lines.push({ ...edge, id: `${group} low`, values: low })
      lines.push({ ...edge, id: `${group} high`, values: high })
      lines.push({
        id: `${group} mean`,
        label: `${group}: mean of ${members.length}`,
        color,
        values: mean,
        width: 2,
      })
      bands.push({ low: `${group} low`, high: `${group} high`, color })
    }
    return { x, lines, bands }
  }, [histories.value, runs, axis, smoothing])
  if (histories.error !== undefined) return <p class="k-quiet">{histories.error.message}</p>
  if (histories.value === undefined) return <Spinner />
  if (shown.lines.length === 0 && range === undefined) {
    return <p class="k-quiet">None of these runs has this metric.</p>
  }
  return (
    <>
      <LineChart
        label={metric}
        x={shown.x}
        lines={shown.lines}
        bands={shown.bands}
        height={props.height}
        logX={options.logX}
        logY={options.logY}
        formatX={axisFormat(axis)}
        onZoom={setRange}
        theme={props.theme}
      />
      {range === undefined ? null : (
        <button
          type="button"
          class="k-button chart-reset"
          data-kind="quiet"
          onClick={() => setRange(undefined)}
        >
          Show all
        </button>
      )}
    </>
  )
}
