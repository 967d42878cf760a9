import { Canvas, Empty, formatNumber, rampColor, token } from "@ashlar/core/ui/index.ts"
import { useMemo, useState } from "preact/hooks"
import { ColumnPicker } from "./axis-choice.tsx"
import { columnOf, labelOf, mainMetric } from "./columns.ts"
import { change, go } from "./location.ts"
import type { PaneProps } from "./pane.ts"
import { cellOf, drawable, useColumns } from "./values.ts"

const height = 520
const margin = { left: 64, right: 20, top: 14, bottom: 40 }

interface Dot {
  readonly runId: string
  readonly name: string
  readonly x: number
  readonly y: number
  readonly color: number | undefined
}

const extent = (values: ReadonlyArray<number>): readonly [number, number] => {
  let low = Infinity
  let high = -Infinity
  for (const value of values) {
    if (value < low) low = value
    if (value > high) high = value
  }
  if (low > high) return [0, 1]
  const room = (high - low || Math.abs(high) || 1) * 0.05
  return [low - room, high + room]
}

/** Round positions for an axis. */
export const ticksOf = (low: number, high: number, count: number): ReadonlyArray<number> => {
  const rough = (high - low) / count
  if (!(rough > 0)) return [low]
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((n) => n * power).find((size) => size >= rough) ?? rough
  const ticks: Array<number> = []
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) ticks.push(at)
  return ticks
}

/** Runs as dots: two columns against each other, a third as colour. */
export const Scatter = (props: PaneProps) => {
  const { runs, keys, params, values } = props
  const y = params.get("sy") ?? `metric:${mainMetric(keys.metrics)}`
  const by = params.get("sc") ?? ""
  const [hover, setHover] = useState<{
    readonly dot: Dot
    readonly left: number
    readonly top: number
  }>()
  const ids = useMemo(() => runs.map(({ runId }) => runId), [runs])
  const candidates = useMemo(() => keys.params.slice(0, 12).map((key) => `param:${key}`), [keys])
  const wanted = params.get("sx")
  const columnIds = [...(wanted === null ? candidates : [wanted]), y, ...(by === "" ? [] : [by])]
  useColumns(values.cache, ids, columnIds, props.revision)
  // Unless one is chosen, the parameter that has the most different numbers.
  const numbersOf = (id: string) =>
    new Set(ids.flatMap((run) => drawable(values.cache.get(id, run)) ?? [])).size
  const counted = candidates.map((id) => ({ id, count: numbersOf(id) }))
  const best = counted.reduce((most, one) => (one.count > most.count ? one : most), {
    id: "attribute:duration",
    count: 1,
  })
  const x = wanted ?? best.id
  const dots = useMemo((): ReadonlyArray<Dot> => {
    const [columnX, columnY, columnBy] = [columnOf(x), columnOf(y), columnOf(by)]
    if (columnX === undefined || columnY === undefined) return []
    return runs.flatMap((run) => {
      const atX = drawable(cellOf(values.cache, run, columnX))
      const atY = drawable(cellOf(values.cache, run, columnY))
      if (atX === undefined || atY === undefined) return []
      const color =
        columnBy === undefined ? undefined : drawable(cellOf(values.cache, run, columnBy))
      return [{ runId: run.runId, name: run.name, x: atX, y: atY, color }]
    })
  }, [runs, x, y, by, values.tick])
  const [lowX, highX] = extent(dots.map((dot) => dot.x))
  const [lowY, highY] = extent(dots.map((dot) => dot.y))
  const [lowC, highC] = extent(dots.flatMap(({ color }) => (color === undefined ? [] : [color])))
  const place = (dot: Dot, width: number) => ({
    left: margin.left + ((dot.x - lowX) / (highX - lowX)) * (width - margin.left - margin.right),
    top: margin.top + (1 - (dot.y - lowY) / (highY - lowY)) * (height - margin.top - margin.bottom),
  })
  const nearest = (event: PointerEvent & { readonly currentTarget: HTMLElement }) => {
    const box = event.currentTarget.getBoundingClientRect()
    const [px, py] = [event.clientX - box.left, event.clientY - box.top]
    let best: typeof hover
    let distance = 14 ** 2
    for (const dot of dots) {
      const { left, top } = place(dot, box.width)
      const away = (left - px) ** 2 + (top - py) ** 2
      if (away >= distance) continue
      distance = away
      best = { dot, left, top }
    }
    return best
  }
  const labels = [columnOf(x), columnOf(y)].map((column) =>
    column === undefined ? "" : labelOf(column),
  )
  return (
    <>
      <div class="tools">
        <ColumnPicker label="Across" keys={keys} value={x} onChange={(id) => change({ sx: id })} />
        <ColumnPicker label="Up" keys={keys} value={y} onChange={(id) => change({ sy: id })} />
        <ColumnPicker label="Colour" keys={keys} value={by} onChange={(id) => change({ sc: id })} />
        <span class="k-quiet">
          {dots.length} of {runs.length} runs have both numbers
        </span>
      </div>
      {dots.length === 0 ? (
        <Empty title="Nothing to draw">Choose two columns that hold numbers.</Empty>
      ) : (
        <div class="k-card" style={{ position: "relative", padding: "8px" }}>
          <Canvas
            label={`${labels[1]} against ${labels[0]} of ${dots.length} runs`}
            height={height}
            draws={[dots, hover?.dot.runId, props.theme]}
            events={{
              onPointerMove: (event) => setHover(nearest(event)),
              onPointerLeave: () => setHover(undefined),
              onClick: () => {
                if (hover !== undefined) go(`/run/${encodeURIComponent(hover.dot.runId)}`)
              },
            }}
            draw={(context, width) => {
              context.font = `11px ${token("--font")}`
              context.strokeStyle = token("--line")
              context.fillStyle = token("--ink-3")
              context.lineWidth = 1
              context.textAlign = "center"
              const bottom = height - margin.bottom
              for (const tick of ticksOf(lowX, highX, 8)) {
                const { left } = place({ runId: "", name: "", x: tick, y: lowY, color: 0 }, width)
                context.beginPath()
                context.moveTo(left, margin.top)
                context.lineTo(left, bottom)
                context.stroke()
                context.fillText(formatNumber(Number(tick.toPrecision(10))), left, bottom + 16)
              }
              context.textAlign = "right"
              for (const tick of ticksOf(lowY, highY, 7)) {
                const { top } = place({ runId: "", name: "", x: lowX, y: tick, color: 0 }, width)
                context.beginPath()
                context.moveTo(margin.left, top)
                context.lineTo(width - margin.right, top)
                context.stroke()
                context.fillText(
                  formatNumber(Number(tick.toPrecision(10))),
                  margin.left - 8,
                  top + 4,
                )
              }
              context.fillStyle = token("--ink-2")
              context.textAlign = "center"
              context.fillText(labels[0] ?? "", (margin.left + width) / 2, height - 6)
              context.save()
              context.translate(12, height / 2)
              context.rotate(-Math.PI / 2)
              context.fillText(labels[1] ?? "", 0, 0)
              context.restore()
              for (const dot of dots) {
                const { left, top } = place(dot, width)
                const isHovered = dot.runId === hover?.dot.runId
                context.globalAlpha = isHovered ? 1 : 0.72
                context.fillStyle =
                  dot.color === undefined
                    ? token("--accent")
                    : rampColor((dot.color - lowC) / (highC - lowC))
                context.beginPath()
                context.arc(left, top, isHovered ? 6 : 4, 0, 2 * Math.PI)
                context.fill()
              }
              context.globalAlpha = 1
            }}
          />
          {hover === undefined ? null : (
            <div class="k-tip" style={{ left: `${hover.left + 18}px`, top: `${hover.top}px` }}>
              <div class="k-clip">{hover.dot.name}</div>
              <div class="k-mono">
                {labels[0]} {formatNumber(hover.dot.x)}
              </div>
              <div class="k-mono">
                {labels[1]} {formatNumber(hover.dot.y)}
              </div>
            </div>
          )}
        </div>
      )}
    </>
  )
}
