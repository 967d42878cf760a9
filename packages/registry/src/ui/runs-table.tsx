import {
  formatDuration,
  formatNumber,
  formatTime,
  Grid,
  type GridColumn,
  type GridView,
  Icon,
  Menu,
} from "@ashlar/core/ui/index.ts"
import { useCallback, useEffect, useMemo, useState } from "preact/hooks"
import type { RunRowAnswer } from "./client.ts"
import { type Column, columnOf, labelOf, termOf } from "./columns.ts"
import { go, href } from "./location.ts"
import type { RunsData } from "./runs-data.ts"
import { cellOf, type Value, type ValueCache } from "./values.ts"

/** Rows are read in blocks, so that a little scrolling reads nothing. */
const block = 50
/** How long scrolling rests before values are read. */
const restMs = 40

/** The colour of a run's status. */
export const toneOf = (status: string): "good" | "bad" | "accent" | "plain" | "warn" => {
  if (status === "FINISHED") return "good"
  if (status === "FAILED") return "bad"
  if (status === "RUNNING") return "accent"
  return status === "KILLED" ? "warn" : "plain"
}

/** A value as a cell shows it. */
export const textOf = (column: Column, value: Value | undefined): string => {
  if (value === undefined) return ""
  if (value === null) return "-"
  if (column.key === "started" && column.kind === "attribute") return formatTime(String(value))
  if (typeof value === "number") {
    return column.kind === "attribute" ? formatDuration(value) : formatNumber(value)
  }
  return value
}

const isNumeric = ({ kind, key }: Column): boolean => kind === "metric" || key === "duration"

const groupOf = { attribute: "", metric: "M", param: "P", tag: "T" } as const

/** The runs as a grid. */
export const RunsTable = (props: {
  readonly data: RunsData
  readonly layout: {
    readonly pinned: ReadonlyArray<Column>
    readonly others: ReadonlyArray<Column>
  }
  readonly values: { readonly cache: ValueCache; readonly tick: number }
  readonly sort: string
  readonly selected: ReadonlySet<string>
  readonly revision: number
  readonly onSelect: (runIds: ReadonlyArray<string>) => void
  readonly onSort: (sort: string | undefined) => void
  readonly onPin: (id: string, pin: boolean) => void
  readonly onHide: (id: string) => void
  readonly onMove: (id: string, before: string) => void
}) => {
  const { data, layout, values, sort, selected } = props
  const { runs } = data
  const [view, setView] = useState<GridView>({ rows: [0, 0], columns: [0, 0] })
  const toGrid = (columns: ReadonlyArray<Column>): ReadonlyArray<GridColumn> =>
    columns.map((column) => ({
      id: column.id,
      width: column.width,
      ...(isNumeric(column) ? { align: "right" as const } : {}),
    }))
  const pinned = useMemo(() => toGrid(layout.pinned), [layout.pinned])
  const columns = useMemo(() => toGrid(layout.others), [layout.others])
  const known = useMemo(
    () => new Map([...layout.pinned, ...layout.others].map((column) => [column.id, column])),
    [layout],
  )
  const from = Math.floor(view.rows[0] / block) * block
  const to = Math.ceil(view.rows[1] / block) * block
  const [left, right] = view.columns
  useEffect(() => {
    const timer = setTimeout(() => {
      const wanted = [...layout.pinned, ...layout.others.slice(left, right)]
      const ids = wanted.flatMap(({ id, kind }) => (kind === "attribute" ? [] : [id]))
      const some = runs.slice(from, to).map(({ runId }) => runId)
      if (ids.length > 0 && some.length > 0) values.cache.want(some, ids).catch(() => undefined)
    }, restMs)
    return () => clearTimeout(timer)
  }, [from, to, left, right, layout, runs, values.cache, props.revision])

  const toggle = (run: RunRowAnswer | undefined) => {
    if (run === undefined) return
    const { runId } = run
    props.onSelect(
      selected.has(runId) ? [...selected].filter((id) => id !== runId) : [...selected, runId],
    )
  }
  const head = (column: GridColumn) => {
    const about = known.get(column.id) ?? columnOf(column.id)
    if (about === undefined) return null
    const label = labelOf(about)
    const isPinned = layout.pinned.some(({ id }) => id === about.id)
    const canSort = termOf(about) !== undefined
    const next = sort === `-${about.id}` ? about.id : sort === about.id ? undefined : `-${about.id}`
    return (
      <div class="th">
        <button type="button" title={label} disabled={!canSort} onClick={() => props.onSort(next)}>
          {about.kind === "attribute" ? null : <em aria-hidden="true">{groupOf[about.kind]}</em>}
          {label}
          {sort === about.id ? " ↑" : sort === `-${about.id}` ? " ↓" : ""}
        </button>
        <Menu
          quiet
          label={`Column ${label}`}
          items={[
            ...(canSort
              ? ([
                  ["Sort ascending", () => props.onSort(about.id)],
                  ["Sort descending", () => props.onSort(`-${about.id}`)],
                ] as const)
              : []),
            [isPinned ? "Unpin" : "Pin to the left", () => props.onPin(about.id, !isPinned)],
            ...(isPinned ? [] : ([["Hide", () => props.onHide(about.id)]] as const)),
            ...(isPinned
              ? []
              : ([
                  [
                    "Move to the front",
                    () => props.onMove(about.id, layout.others[0]?.id ?? about.id),
                  ],
                ] as const)),
          ]}
        >
          <Icon name="down" />
        </Menu>
      </div>
    )
  }
  const cell = (row: number, column: GridColumn) => {
    const run = runs[row]
    const about = known.get(column.id)
    if (run === undefined || about === undefined) return null
    if (about.id === "attribute:name") {
      return (
        <span class="run-cell">
          <input
            type="checkbox"
            class="k-check"
            tabIndex={-1}
            aria-label={`Select ${run.name}`}
            checked={selected.has(run.runId)}
            onChange={() => toggle(run)}
          />
          <a
            class="k-clip"
            tabIndex={-1}
            href={href(`/run/${encodeURIComponent(run.runId)}`)}
            title={run.name}
          >
            {run.name}
          </a>
        </span>
      )
    }
    const value = cellOf(values.cache, run, about)
    const text = textOf(about, value)
    if (about.id === "attribute:status") {
      return (
        <>
          <i class="dot" data-tone={toneOf(run.status)} />
          {text.charAt(0) + text.slice(1).toLowerCase()}
        </>
      )
    }
    return text
  }
  const onView = useCallback((next: GridView) => setView(next), [])
  return (
    <Grid
      label="Runs"
      pinned={pinned}
      columns={columns}
      rowCount={runs.length}
      head={head}
      cell={cell}
      sortOf={({ id }) =>
        sort === id ? "ascending" : sort === `-${id}` ? "descending" : undefined
      }
      isSelected={(row) => selected.has(runs[row]?.runId ?? "")}
      onOpen={(row) => {
        const run = runs[row]
        if (run !== undefined) go(`/run/${encodeURIComponent(run.runId)}`)
      }}
      onToggle={(row) => toggle(runs[row])}
      onMove={props.onMove}
      onView={onView}
    />
  )
}
