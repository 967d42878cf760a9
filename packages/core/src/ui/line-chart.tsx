/**
 * A chart of lines over a common axis, on uPlot.
 *
 * @module
 */
import { useEffect, useRef, useState } from "preact/hooks"
import uPlot from "uplot"
import { formatNumber } from "./format.ts"
import { useSize } from "./hooks.ts"
import { token } from "./palette.ts"

/** A line. */
export interface Line {
  readonly id: string
  readonly label: string
  readonly color: string
  /** One value for each position; null where there is none. */
  readonly values: ReadonlyArray<number | null>
  readonly width?: number
  readonly dash?: ReadonlyArray<number>
  readonly alpha?: number
  /** Left out of the tip. */
  readonly isBackground?: boolean
}

/** An area between two lines, by their ids. */
export interface Band {
  readonly low: string
  readonly high: string
  /** `#rrggbb`; it is drawn translucent. */
  readonly color: string
}

/** What a chart shows. */
export interface LineChartProps {
  readonly label: string
  readonly x: ReadonlyArray<number>
  readonly lines: ReadonlyArray<Line>
  readonly bands?: ReadonlyArray<Band>
  readonly height: number
  readonly logX?: boolean
  readonly logY?: boolean
  readonly formatX: (x: number) => string
  /** A range was dragged; `undefined` when everything is wanted again. */
  readonly onZoom: (range: readonly [from: number, to: number] | undefined) => void
  /** Changes with the theme. */
  readonly theme: string
}

/** Lines up to which the one under the cursor stands out. */
const focusable = 60

interface Tip {
  readonly left: number
  readonly top: number
  readonly line: Line
  readonly x: number
  readonly y: number
}

const isPoint = (values: ReadonlyArray<number | null>): boolean => {
  const first = values.findIndex((value) => value !== null)
  return first >= 0 && values.indexOf(values.findLast((value) => value !== null) ?? null) === first
}

const seriesOf = (line: Line): uPlot.Series => ({
  label: line.label,
  stroke: line.color,
  width: line.width ?? 1.5,
  alpha: line.alpha ?? 1,
  spanGaps: true,
  // A line through one point is not to be seen.
  points: { show: isPoint(line.values) },
  ...(line.dash === undefined ? {} : { dash: [...line.dash] }),
})

const bandsOf = (props: LineChartProps): Array<uPlot.Band> =>
  (props.bands ?? []).flatMap(({ low, high, color }) => {
    const at = (id: string) => props.lines.findIndex((line) => line.id === id) + 1
    return at(low) > 0 && at(high) > 0
      ? [{ series: [at(high), at(low)] as [number, number], fill: `${color}2b` }]
      : []
  })

/** Logarithms have no room for zero and less. */
const positive = (values: ReadonlyArray<number | null>): Array<number | null> =>
  values.map((value) => (value !== null && value > 0 ? value : null))

const dataOf = (props: LineChartProps): uPlot.AlignedData => {
  // uPlot only reads them: thousands of lines are not copied.
  const lines = props.lines.map(({ values }) =>
    props.logY === true ? positive(values) : (values as Array<number | null>),
  )
  return [props.x as Array<number>, ...lines]
}

const axis = (size: number, format: (value: number) => string): uPlot.Axis => ({
  stroke: token("--ink-3"),
  grid: { stroke: token("--line"), width: 1 },
  ticks: { show: false },
  font: `11px ${token("--font")}`,
  size,
  gap: 4,
  values: (_chart, splits) => splits.map((value) => (value === null ? "" : format(value))),
})

const optionsOf = (
  props: LineChartProps,
  width: number,
  setTip: (tip: Tip | undefined) => void,
): uPlot.Options => ({
  width,
  height: props.height,
  legend: { show: false },
  padding: [8, 10, 0, 0],
  cursor: {
    // Focusing draws every line again.
    focus: { prox: props.lines.length > focusable ? -1 : 24 },
    drag: { x: true, y: false, setScale: false },
    points: { size: 6 },
    bind: {
      dblclick: () => () => {
        props.onZoom(undefined)
        return null
      },
    },
  },
  focus: { alpha: 0.35 },
  scales: {
    x: { time: false, distr: props.logX === true ? 3 : 1 },
    y: { distr: props.logY === true ? 3 : 1 },
  },
  axes: [axis(26, props.formatX), axis(56, formatNumber)],
  series: [{}, ...props.lines.map(seriesOf)],
  bands: bandsOf(props),
  hooks: {
    setSelect: [
      (chart) => {
        const { left, width: dragged } = chart.select
        if (dragged < 4) return
        const from = chart.posToVal(left, "x")
        const to = chart.posToVal(left + dragged, "x")
        chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
        props.onZoom([from, to])
      },
    ],
    setCursor: [
      (chart) => {
        const { idx, left = -1, top = -1 } = chart.cursor
        if (idx === null || idx === undefined || left < 0) return setTip(undefined)
        let best: Tip | undefined
        let distance = 40
        props.lines.forEach((line, index) => {
          if (line.isBackground === true) return
          const y = chart.data[index + 1]?.[idx]
          const x = chart.data[0][idx]
          if (y === null || y === undefined || x === undefined) return
          const away = Math.abs(chart.valToPos(y, "y") - top)
          if (away >= distance) return
          distance = away
          best = { left, top, line, x, y }
        })
        setTip(best)
      },
    ],
  },
})

/** The chart: drag to zoom, double-click to see everything again, hover to read. */
export const LineChart = (props: LineChartProps) => {
  const host = useRef<HTMLDivElement>(null)
  const chart = useRef<uPlot>(undefined)
  const [tip, setTip] = useState<Tip>()
  const { width } = useSize(host)
  const latest = useRef(props)
  latest.current = props
  const shape = [
    props.theme,
    props.logX,
    props.logY,
    props.height,
    props.lines.map(({ id, color, width: w, alpha }) => `${id}${color}${w}${alpha}`).join(),
  ].join("|")
  useEffect(() => {
    if (host.current === null || width === 0) return undefined
    // The hooks see what is shown now, not what was shown when the chart was made.
    const live: LineChartProps = {
      ...props,
      onZoom: (range) => latest.current.onZoom(range),
      formatX: (x) => latest.current.formatX(x),
    }
    const made = new uPlot(optionsOf(live, width, setTip), dataOf(props), host.current)
    chart.current = made
    return () => {
      made.destroy()
      chart.current = undefined
    }
  }, [shape, width > 0])
  useEffect(() => {
    chart.current?.setData(dataOf(props))
  }, [props.x, props.lines])
  useEffect(() => {
    if (width > 0) chart.current?.setSize({ width, height: props.height })
  }, [width, props.height])
  const right = tip !== undefined && tip.left > width / 2
  return (
    <div
      class="k-chart"
      role="img"
      aria-label={`${props.label}: ${props.lines.length} lines`}
      style={{ height: `${props.height}px` }}
    >
      <div ref={host} style={{ height: "100%" }} />
      {tip === undefined ? null : (
        <div
          class="k-tip"
          style={{
            top: `${Math.max(0, tip.top - 8)}px`,
            ...(right ? { right: `${width - tip.left - 40}px` } : { left: `${tip.left + 72}px` }),
          }}
        >
          <div class="k-row">
            <span class="k-swatch" style={{ background: tip.line.color }} />
            <span class="k-clip">{tip.line.label}</span>
          </div>
          <div class="k-row k-mono">
            <strong>{formatNumber(tip.y)}</strong>
            <span class="k-quiet">at {props.formatX(tip.x)}</span>
          </div>
        </div>
      )}
    </div>
  )
}
