import {
  Button,
  Checkbox,
  Empty,
  Segments,
  Select,
  seriesColor,
  useSize,
  useWindow,
} from "@ashlar/core/ui/index.ts"
import { useEffect, useMemo, useRef, useState } from "preact/hooks"
import { columnOf, systemLast } from "./columns.ts"
import type { Axis } from "./curves.ts"
import { change, rangesOf, rangesText } from "./location.ts"
import { type CurveRun, MetricChart } from "./metric-chart.tsx"
import type { PaneProps } from "./pane.ts"
import { useColumns } from "./values.ts"

/** Runs that are drawn when nobody chose any. */
const unchosen = 20
const height = 226
const cardHeight = height + 46

const axes = [
  ["step", "Step"],
  ["time", "Time"],
  ["relative", "Relative"],
] as const

const axisOf = (text: string | null): Axis => axes.find(([id]) => id === text)?.[0] ?? "step"

const matching = (keys: ReadonlyArray<string>, search: string): ReadonlyArray<string> => {
  if (search === "") return keys
  try {
    const pattern = new RegExp(search, "i")
    return keys.filter((key) => pattern.test(key))
  } catch {
    return keys.filter((key) => key.includes(search))
  }
}

/** The element that scrolls around another. */
const scrollerOf = (element: HTMLElement | null): HTMLElement | null =>
  element?.closest<HTMLElement>(".pane") ?? null

/** Curves of metrics: a card each, of which only those in view are drawn. */
export const Charts = (props: PaneProps) => {
  const { params, keys } = props
  const search = params.get("m") ?? ""
  const axis = axisOf(params.get("x"))
  const smoothing = Math.min(0.99, Math.max(0, Number(params.get("ema") ?? 0) || 0))
  const group = params.get("group") ?? ""
  const showAll = params.has("all")
  const only = params.get("one") ?? ""
  const zooms = rangesOf(params, "zoom")
  const [weight, setWeight] = useState(smoothing)
  useEffect(() => setWeight(smoothing), [smoothing])
  const runs = useMemo(
    () => (props.isChosen || showAll ? props.runs : props.runs.slice(0, unchosen)),
    [props.runs, props.isChosen, showAll],
  )
  const ids = useMemo(() => runs.map(({ runId }) => runId), [runs])
  useColumns(props.values.cache, ids, group === "" ? [] : [group], props.revision)
  const curves = useMemo((): ReadonlyArray<CurveRun> => {
    const order = new Map<string, number>()
    return runs.map((run, index) => {
      const value = group === "" ? undefined : props.values.cache.get(group, run.runId)
      const name =
        group === ""
          ? undefined
          : `${columnOf(group)?.key ?? ""} = ${value === null || value === undefined ? "none" : value}`
      const at = name === undefined ? index : (order.get(name) ?? order.size)
      if (name !== undefined) order.set(name, at)
      return { runId: run.runId, label: run.name, color: seriesColor(at), group: name }
    })
  }, [runs, group, props.values.tick, props.theme])
  const metrics = useMemo(
    () => (only === "" ? systemLast(matching(keys.metrics, search)) : [only]),
    [keys.metrics, search, only],
  )
  const host = useRef<HTMLDivElement>(null)
  const scroller = useRef<HTMLElement>(null)
  scroller.current = scrollerOf(host.current)
  const { width } = useSize(host)
  const across = only === "" ? Math.max(1, Math.floor(width / 400)) : 1
  const rows = useWindow({
    ref: scroller,
    count: Math.ceil(metrics.length / across),
    size: () => (only === "" ? cardHeight + 12 : 480),
    sizes: `${across} ${only}`,
    overscan: 1,
  })
  // The scrolling element is known once this is in the page.
  const [, settle] = useState(false)
  useEffect(() => settle(true), [])
  const options = { axis, smoothing, logX: params.has("lx"), logY: params.has("ly") }
  const legend = useMemo(() => {
    const seen = new Map<string, string>()
    for (const { group: name, label, runId, color } of curves) {
      seen.set(name ?? runId, name === undefined ? `${label}\n${color}` : `${name}\n${color}`)
    }
    return [...seen.values()].map((entry) => entry.split("\n"))
  }, [curves])
  return (
    <>
      <div class="tools">
        <input
          class="k-input"
          type="search"
          aria-label="Metrics by regular expression"
          placeholder={`Search ${keys.metrics.length} metrics`}
          value={search}
          onInput={(event) => change({ m: event.currentTarget.value, one: undefined })}
        />
        <Segments
          label="Horizontal axis"
          value={axis}
          options={axes}
          onChange={(x) => change({ x: x === "step" ? undefined : x, zoom: undefined })}
        />
        <label class="k-field">
          Smoothing
          <input
            type="range"
            min="0"
            max="0.99"
            step="0.01"
            value={weight}
            onInput={(event) => setWeight(Number(event.currentTarget.value))}
            onChange={(event) => {
              const value = event.currentTarget.value
              change({ ema: value === "0" ? undefined : value })
            }}
          />
          <span class="k-mono">{weight.toFixed(2)}</span>
        </label>
        <Checkbox
          label="Log y"
          checked={options.logY}
          onChange={(on) => change({ ly: on ? "1" : undefined })}
        />
        <Checkbox
          label="Log x"
          checked={options.logX}
          onChange={(on) => change({ lx: on ? "1" : undefined })}
        />
        {keys.params.length + keys.tags.length === 0 ? null : (
          <Select
            label="Group by"
            value={group}
            options={[
              ["", "No groups"],
              ...keys.params.map((key) => [`param:${key}`, key] as const),
              ...keys.tags.map((key) => [`tag:${key}`, `tag ${key}`] as const),
            ]}
            onChange={(value) => change({ group: value })}
          />
        )}
        {props.isChosen || props.runs.length <= unchosen ? null : (
          <Button pressed={showAll} onClick={() => change({ all: showAll ? undefined : "1" })}>
            {showAll ? `First ${unchosen} runs` : `All ${props.runs.length} runs`}
          </Button>
        )}
        {only === "" ? null : (
          <Button onClick={() => change({ one: undefined })}>All metrics</Button>
        )}
      </div>
      <div class="legend" aria-label="Lines">
        {legend.slice(0, 24).map(([label, color]) => (
          <span key={`${label}${color}`}>
            <i class="k-swatch" style={{ background: color }} />
            <span class="k-clip">{label}</span>
          </span>
        ))}
        {legend.length > 24 ? <span class="k-quiet">and {legend.length - 24} more</span> : null}
      </div>
      {metrics.length === 0 ? (
        <Empty title="No metric matches">Runs show their curves here once they log metrics.</Empty>
      ) : null}
      <div class="cards" ref={host} style={{ height: `${rows.total}px` }}>
        {width === 0
          ? null
          : rows.items.map(({ index, start }) => (
              <div
                class="card-row"
                key={`${across} ${index}`}
                style={{
                  transform: `translateY(${start}px)`,
                  gridTemplateColumns: `repeat(${across}, minmax(0, 1fr))`,
                }}
              >
                {metrics.slice(index * across, (index + 1) * across).map((metric) => (
                  <section
                    class="k-card chart-card"
                    key={metric}
                    aria-label={metric}
                    style={{ height: only === "" ? `${cardHeight}px` : "460px" }}
                  >
                    <header>
                      <h2 class="k-clip" title={metric}>
                        {metric}
                      </h2>
                      {only === "" ? (
                        <Button
                          kind="quiet"
                          onClick={() => change({ one: metric }, { push: true })}
                        >
                          Enlarge
                        </Button>
                      ) : null}
                    </header>
                    <MetricChart
                      metric={metric}
                      runs={curves}
                      options={options}
                      height={only === "" ? height : 400}
                      theme={props.theme}
                      revision={props.revision}
                      range={zooms[metric]}
                      onRange={(range) =>
                        change({ zoom: rangesText({ ...zooms, [metric]: range }) })
                      }
                    />
                  </section>
                ))}
              </div>
            ))}
      </div>
    </>
  )
}
