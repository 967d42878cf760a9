import { Canvas, Empty, formatNumber, rampColor, Segments, token } from "@ashlar/core/ui/index.ts"
import { useMemo, useRef, useState } from "preact/hooks"
import { ColumnPicker } from "./axis-choice.tsx"
import { columnOf, labelOf, mainMetric } from "./columns.ts"
import { change, listOf, listText, rangesOf, rangesText } from "./location.ts"
import type { PaneProps } from "./pane.ts"
import { type Aggregate, cellOf, drawable, useColumns, useValues, type Value } from "./values.ts"

const height = 460
const margin = { left: 70, right: 70, top: 44, bottom: 24 }

/** Axes that are shown when nobody chose any. */
const usualAxes = 6

const aggregates = [
  ["last", "Last"],
  ["min", "Least"],
  ["max", "Greatest"],
] as const

/** A column as an axis: numbers on a scale, or texts one below the other. */
export interface ParallelAxis {
  readonly id: string
  readonly label: string
  /** Where a value lies, 0 to 1 from below; `undefined` where it cannot. */
  readonly at: (value: Value | undefined) => number | undefined
  readonly marks: ReadonlyArray<readonly [at: number, text: string]>
}

/** Makes the axis of a column out of the values it has. */
export const axisOf = (
  id: string,
  label: string,
  values: ReadonlyArray<Value | undefined>,
): ParallelAxis => {
  const there = values.filter((value) => value !== null && value !== undefined)
  const numbers = there.flatMap((value) => drawable(value) ?? [])
  if (numbers.length === there.length && numbers.length > 0) {
    let low = Infinity
    let high = -Infinity
    for (const number of numbers) {
      if (number < low) low = number
      if (number > high) high = number
    }
    // Learning rates and the like are told apart by their order of magnitude.
    const isLog = low > 0 && high / low >= 100
    const scale = (value: number) => (isLog ? Math.log10(value) : value)
    const [from, to] = [scale(low), scale(high)]
    const at = (value: Value | undefined) => {
      const number = drawable(value)
      return number === undefined || (isLog && number <= 0)
        ? undefined
        : to === from
          ? 0.5
          : (scale(number) - from) / (to - from)
    }
    const marks = to === from ? [0.5] : [0, 0.25, 0.5, 0.75, 1]
    return {
      id,
      label,
      at,
      marks: marks.map((mark) => {
        const value = to === from ? from : from + (to - from) * mark
        return [mark, formatNumber(Number((isLog ? 10 ** value : value).toPrecision(4)))]
      }),
    }
  }
  const texts = [...new Set(there.map(String))].sort()
  const last = Math.max(1, texts.length - 1)
  const places = new Map(texts.map((text, i) => [text, texts.length === 1 ? 0.5 : i / last]))
  return {
    id,
    label,
    at: (value) => (value === null || value === undefined ? undefined : places.get(String(value))),
    marks: texts.length > 16 ? [] : [...places].map(([text, at]) => [at, text] as const),
  }
}

type Brushes = ReturnType<typeof rangesOf>

/** Runs as lines across the axes of their parameters and metrics. Dragging over an axis keeps only the runs there. */
export const Parallel = (props: PaneProps) => {
  const { runs, keys, params } = props
  const aggregate: Aggregate = aggregates.find(([id]) => id === params.get("agg"))?.[0] ?? "last"
  const { cache, tick } = useValues(runs[0]?.experimentId ?? "", aggregate)
  const runIds = useMemo(() => runs.map(({ runId }) => runId), [runs])
  const candidates = useMemo(
    () => [
      ...keys.params.slice(0, 3 * usualAxes).map((key) => `param:${key}`),
      `metric:${mainMetric(keys.metrics)}`,
    ],
    [keys],
  )
  const chosen = params.has("axes") ? listOf(params, "axes") : undefined
  useColumns(cache, runIds, chosen ?? candidates, props.revision)
  // A parameter that is the same everywhere tells nothing.
  const varies = (id: string) => new Set(runIds.map((run) => cache.get(id, run))).size > 1
  const ids = chosen ?? [
    ...candidates.slice(0, -1).filter(varies).slice(0, usualAxes),
    ...candidates.slice(-1),
  ]
  const brushes = rangesOf(params, "brush")
  const [drag, setDrag] = useState<{
    readonly id: string
    readonly from: number
    readonly to: number
  }>()
  const dragging = useRef(false)
  const lines = useMemo(() => {
    const columns = ids.flatMap((id) => columnOf(id) ?? [])
    const cells = runs.map((run) => columns.map((column) => cellOf(cache, run, column)))
    const axes = columns.map((column, i) =>
      axisOf(
        column.id,
        column.kind === "metric" && aggregate !== "last"
          ? `${aggregate} ${labelOf(column)}`
          : labelOf(column),
        cells.map((row) => row[i]),
      ),
    )
    return {
      axes,
      places: cells.map((row) => row.map((value, i) => axes[i]?.at(value))),
    }
  }, [ids.join("\n"), runs, tick, aggregate])
  const { axes, places } = lines
  const active: Brushes =
    drag === undefined
      ? brushes
      : { ...brushes, [drag.id]: [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)] }
  const isKept = (row: ReadonlyArray<number | undefined>): boolean =>
    axes.every(({ id }, i) => {
      const range = active[id]
      const at = row[i]
      return range === undefined || (at !== undefined && at >= range[0] && at <= range[1])
    })
  const kept = places.filter(isKept).length
  const xOf = (index: number, width: number) =>
    axes.length < 2
      ? width / 2
      : margin.left + (index / (axes.length - 1)) * (width - margin.left - margin.right)
  const yOf = (at: number) => margin.top + (1 - at) * (height - margin.top - margin.bottom)
  const under = (event: PointerEvent & { readonly currentTarget: HTMLElement }) => {
    const box = event.currentTarget.getBoundingClientRect()
    const x = event.clientX - box.left
    const index = axes.findIndex((_, i) => Math.abs(xOf(i, box.width) - x) < 24)
    const at = 1 - (event.clientY - box.top - margin.top) / (height - margin.top - margin.bottom)
    return { axis: axes[index], at: Math.min(1, Math.max(0, at)) }
  }
  const finish = () => {
    if (drag === undefined) return
    dragging.current = false
    const isClick = Math.abs(drag.to - drag.from) < 0.01
    const rest = Object.fromEntries(Object.entries(brushes).filter(([id]) => id !== drag.id))
    const next = isClick ? rest : active
    setDrag(undefined)
    change({ brush: rangesText(next) })
  }
  return (
    <>
      <div class="tools">
        <ColumnPicker
          label="Add an axis"
          keys={keys}
          value=""
          onChange={(id) => change({ axes: listText([...ids.filter((one) => one !== id), id]) })}
        />
        <Segments
          label="Metrics by"
          value={aggregate}
          options={aggregates}
          onChange={(agg) => change({ agg: agg === "last" ? undefined : agg })}
        />
        {axes.map(({ id, label }) => (
          <button
            key={id}
            type="button"
            class="chip"
            aria-label={`Remove the axis ${label}`}
            onClick={() => change({ axes: listText(ids.filter((one) => one !== id)) })}
          >
            {label} ×
          </button>
        ))}
        <span class="k-quiet">
          {kept} of {runs.length} runs. Drag over an axis to choose, click it to clear.
        </span>
      </div>
      {axes.length === 0 ? (
        <Empty title="No axes">Add parameters and metrics.</Empty>
      ) : (
        <div class="k-card">
          <Canvas
            label={`${runs.length} runs over ${axes.map(({ label }) => label).join(", ")}`}
            height={height}
            draws={[lines, JSON.stringify(active), props.theme]}
            events={{
              onPointerDown: (event) => {
                const { axis, at } = under(event)
                if (axis === undefined) return
                event.currentTarget.setPointerCapture(event.pointerId)
                dragging.current = true
                setDrag({ id: axis.id, from: at, to: at })
              },
              onPointerMove: (event) => {
                if (!dragging.current) return
                const { at } = under(event)
                setDrag((before) => (before === undefined ? before : { ...before, to: at }))
              },
              onPointerUp: finish,
              onPointerCancel: finish,
            }}
            draw={(context, width) => {
              const target = axes.length - 1
              context.lineWidth = runs.length > 300 ? 0.8 : 1.2
              for (const wanted of [false, true]) {
                places.forEach((row) => {
                  if (isKept(row) !== wanted) return
                  context.strokeStyle = wanted ? rampColor(row[target] ?? 0.5) : token("--line")
                  context.globalAlpha = wanted ? (runs.length > 300 ? 0.45 : 0.75) : 0.6
                  context.beginPath()
                  let isOpen = false
                  row.forEach((at, i) => {
                    if (at === undefined) {
                      isOpen = false
                      return
                    }
                    const [x, y] = [xOf(i, width), yOf(at)]
                    if (isOpen) {
                      const before = xOf(i - 1, width)
                      const middle = (before + x) / 2
                      context.bezierCurveTo(middle, yOf(row[i - 1] ?? at), middle, y, x, y)
                    } else context.moveTo(x, y)
                    isOpen = true
                  })
                  context.stroke()
                })
              }
              context.globalAlpha = 1
              context.textAlign = "center"
              axes.forEach(({ id, label, marks }, i) => {
                const x = xOf(i, width)
                context.strokeStyle = token("--line-strong")
                context.lineWidth = 1
                context.beginPath()
                context.moveTo(x, margin.top)
                context.lineTo(x, height - margin.bottom)
                context.stroke()
                const range = active[id]
                if (range !== undefined) {
                  context.fillStyle = token("--accent")
                  context.globalAlpha = 0.28
                  context.fillRect(x - 8, yOf(range[1]), 16, yOf(range[0]) - yOf(range[1]))
                  context.globalAlpha = 1
                }
                context.fillStyle = token("--ink")
                context.font = `600 12px ${token("--font")}`
                context.fillText(label.slice(0, 24), x, 18)
                context.font = `11px ${token("--font")}`
                for (const [at, text] of marks) {
                  const shown = text.slice(0, 16)
                  const wide = context.measureText(shown).width
                  context.fillStyle = token("--surface")
                  context.globalAlpha = 0.82
                  context.fillRect(x + 5, yOf(at) - 7, wide + 6, 14)
                  context.globalAlpha = 1
                  context.fillStyle = token("--ink-2")
                  context.textAlign = "left"
                  context.fillText(shown, x + 8, yOf(at) + 4)
                  context.textAlign = "center"
                }
              })
            }}
          />
        </div>
      )}
    </>
  )
}
