import {
  Checkbox,
  Empty,
  Grid,
  type GridColumn,
  type GridView,
  Spinner,
} from "@ashlar/core/ui/index.ts"
import { useCallback, useEffect, useMemo, useState } from "preact/hooks"
import { allColumns, columnOf, labelOf } from "./columns.ts"
import { change, href } from "./location.ts"
import type { PaneProps } from "./pane.ts"
import { textOf } from "./runs-table.tsx"
import { cellOf } from "./values.ts"

const block = 40
/** Columns of one read when differences are looked for. */
const wave = 400

const labelColumn: GridColumn = { id: "key", width: 240 }

/** Runs side by side: a row for each key, a column for each run, without a limit of either. */
export const Compare = ({ runs, keys, values, params, revision }: PaneProps) => {
  const onlyDifferent = params.has("diff")
  const search = params.get("ck") ?? ""
  const { cache } = values
  const [view, setView] = useState<GridView>({ rows: [0, 0], columns: [0, 0] })
  const [read, setRead] = useState(0)
  const all = useMemo(
    () => allColumns(keys, true).filter(({ id }) => id !== "attribute:name"),
    [keys],
  )
  const ids = useMemo(() => runs.map(({ runId }) => runId), [runs])
  const found = useMemo(
    () =>
      all.filter(
        ({ id, kind }) =>
          id.toLowerCase().includes(search.toLowerCase()) &&
          !(onlyDifferent && kind === "attribute"),
      ),
    [all, search, onlyDifferent],
  )
  // To know what differs, everything has to be read: in waves, so that rows show early.
  useEffect(() => {
    if (!onlyDifferent) return undefined
    let gone = false
    const run = async () => {
      for (let from = 0; from < found.length && !gone; from += wave) {
        await cache.want(
          ids,
          found.slice(from, from + wave).map(({ id }) => id),
        )
        if (!gone) setRead(Math.min(found.length, from + wave))
      }
    }
    setRead(0)
    run().catch(() => undefined)
    return () => {
      gone = true
    }
  }, [onlyDifferent, found, ids, cache, revision])
  const rows = useMemo(() => {
    if (!onlyDifferent) return found
    return found.slice(0, read).filter(({ id }) => {
      const first = cache.get(id, ids[0] ?? "")
      return ids.some((run) => cache.get(id, run) !== first)
    })
  }, [found, onlyDifferent, read, ids, cache, values.tick])
  const [top, bottom] = [
    Math.floor(view.rows[0] / block) * block,
    Math.ceil(view.rows[1] / block) * block,
  ]
  const [left, right] = [
    Math.floor(view.columns[0] / block) * block,
    Math.ceil(view.columns[1] / block) * block,
  ]
  useEffect(() => {
    if (onlyDifferent) return
    const wanted = rows.slice(top, bottom).filter(({ kind }) => kind !== "attribute")
    cache
      .want(
        ids.slice(left, right),
        wanted.map(({ id }) => id),
      )
      .catch(() => undefined)
  }, [rows, top, bottom, left, right, ids, cache, onlyDifferent, revision])
  const columns = useMemo(
    () => runs.map(({ runId }): GridColumn => ({ id: runId, width: 150, align: "right" })),
    [runs],
  )
  const byId = useMemo(() => new Map(runs.map((run) => [run.runId, run])), [runs])
  const onView = useCallback((next: GridView) => setView(next), [])
  const isReading = onlyDifferent && read < found.length
  if (runs.length === 0) return <Empty title="No runs to compare">Select runs in the table.</Empty>
  return (
    <div style={{ display: "grid", gridTemplateRows: "auto minmax(0, 1fr)", height: "100%" }}>
      <div class="tools">
        <input
          class="k-input"
          type="search"
          aria-label="Search keys"
          placeholder="Search keys"
          value={search}
          onInput={(event) => change({ ck: event.currentTarget.value })}
        />
        <Checkbox
          label="Only what differs"
          checked={onlyDifferent}
          onChange={(on) => change({ diff: on ? "1" : undefined })}
        />
        <span class="k-quiet">
          {runs.length} runs, {rows.length} of {all.length} keys
        </span>
        {isReading ? <Spinner label={`Read ${read} of ${found.length} keys`} /> : null}
      </div>
      <div class="k-card" style={{ minHeight: 0, overflow: "hidden" }}>
        <Grid
          label="Comparison"
          pinned={[labelColumn]}
          columns={columns}
          rowCount={rows.length}
          head={({ id }) => {
            const run = byId.get(id)
            return run === undefined ? (
              <span class="k-quiet">Key</span>
            ) : (
              <span class="th">
                <a
                  class="k-clip"
                  style={{ color: "inherit", fontWeight: 600, fontSize: "12px" }}
                  href={href(`/run/${encodeURIComponent(id)}`)}
                  title={run.name}
                >
                  {run.name}
                </a>
              </span>
            )
          }}
          cell={(row, column) => {
            const key = rows[row]
            if (key === undefined) return null
            if (column.id === "key") {
              return (
                <span title={key.id}>
                  {labelOf(key)}{" "}
                  <span class="k-quiet">{key.kind === "attribute" ? "" : key.kind}</span>
                </span>
              )
            }
            const run = byId.get(column.id)
            const about = columnOf(key.id)
            if (run === undefined || about === undefined) return null
            const value = cellOf(cache, run, about)
            const first = runs[0]
            const isSame =
              first !== undefined && run !== first && value === cellOf(cache, first, about)
            const text = textOf(about, value)
            return isSame ? <span class="same">{text}</span> : text
          }}
          onView={onView}
        />
      </div>
    </div>
  )
}
