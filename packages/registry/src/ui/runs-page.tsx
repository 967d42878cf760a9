import { Alert, Button, Empty, formatCount, Spinner, Tabs, useLoad } from "@ashlar/core/ui/index.ts"
import { useEffect, useMemo, useRef, useState } from "preact/hooks"
import { Charts } from "./charts.tsx"
import { api, ApiError, type KeysAnswer } from "./client.ts"
import { allColumns, arrange, type Arrangement, columnOf, moveBefore, termOf } from "./columns.ts"
import { ColumnDialog } from "./column-dialog.tsx"
import { Compare } from "./compare.tsx"
import { ExperimentList } from "./experiment-list.tsx"
import { FilterBox } from "./filter-box.tsx"
import { ImportancePane } from "./importance.tsx"
import { change, listOf, listText } from "./location.ts"
import { Parallel } from "./parallel.tsx"
import { useRuns } from "./runs-data.ts"
import { RunsTable } from "./runs-table.tsx"
import { Scatter } from "./scatter.tsx"
import { useValues } from "./values.ts"
import { ViewsMenu } from "./views-menu.tsx"

const tabs = [
  ["table", "Table"],
  ["charts", "Charts"],
  ["compare", "Compare"],
  ["parallel", "Parallel"],
  ["scatter", "Scatter"],
  ["importance", "Importance"],
] as const

type Tab = (typeof tabs)[number][0]

const noKeys: KeysAnswer = { metrics: [], params: [], tags: [] }

const tabOf = (text: string | null): Tab => tabs.find(([id]) => id === text)?.[0] ?? "table"

/** The order of a search, from `metric:auc` or `-metric:auc`. */
const orderOf = (sort: string): string | undefined => {
  const column = columnOf(sort.replace(/^-/, ""))
  const term = column === undefined ? undefined : termOf(column)
  return term === undefined ? undefined : `${term} ${sort.startsWith("-") ? "DESC" : "ASC"}`
}

const arrangementOf = (params: URLSearchParams): Arrangement => ({
  pinned: params.has("pin") ? listOf(params, "pin") : ["attribute:name"],
  hidden: new Set(listOf(params, "hide")),
  first: listOf(params, "first"),
  tags: params.has("tags"),
})

/** Follows changes of runs; tells how often there were some, and whether the stream is open. */
const useLive = (
  experiments: ReadonlyArray<string>,
  onNews: (runs: ReadonlyArray<string>) => void,
) => {
  const [open, setOpen] = useState(false)
  const latest = useRef(onNews)
  latest.current = onNews
  useEffect(() => {
    if (experiments.length === 0) return undefined
    const controller = new AbortController()
    const on = {
      news: (news: {
        readonly changed: ReadonlyArray<string>
        readonly added: ReadonlyArray<string>
      }) => latest.current([...news.changed, ...news.added]),
      state: setOpen,
    }
    void api.live(experiments, on, controller.signal)
    return () => controller.abort()
  }, [experiments.join()])
  return open
}

/** The runs of experiments: as a table, as curves, side by side, and against each other. */
export const RunsPage = (props: { readonly params: URLSearchParams; readonly theme: string }) => {
  const { params } = props
  const every = useLoad("experiments", (signal) => api.experiments(signal))
  const newest = every.value?.[0]?.id
  // Without a choice the newest experiment is shown.
  const experiments = params.has("e") ? listOf(params, "e") : newest === undefined ? [] : [newest]
  const filter = params.get("q") ?? ""
  const sort = params.get("sort") ?? ""
  const tab = tabOf(params.get("tab"))
  const scope = experiments.join()
  const [revision, setRevision] = useState(0)
  const [choosing, setChoosing] = useState(false)
  const data = useRuns(experiments, filter, orderOf(sort))
  const keys = useLoad(`${scope} ${revision > 0 ? Math.ceil(revision / 5) : 0}`, (signal) =>
    api.keys(experiments, signal),
  )
  const values = useValues(scope)
  const open = useLive(experiments, (changed) => {
    values.cache.forget(changed)
    data.reload()
    setRevision((n) => n + 1)
  })
  const arrangement = arrangementOf(params)
  const known = keys.value ?? noKeys
  const layout = useMemo(
    () => arrange(allColumns(known, arrangement.tags), arrangement),
    [known, params.get("pin"), params.get("hide"), params.get("first"), params.get("tags")],
  )
  const selected = useMemo(() => new Set(listOf(params, "sel")), [params.get("sel")])
  const chosen = useMemo(
    () => data.runs.filter(({ runId }) => selected.has(runId)),
    [data.runs, selected],
  )
  const setSelected = (ids: ReadonlyArray<string>) => change({ sel: listText(ids) })
  const isRefused = data.error instanceof ApiError && data.error.status === 400
  const parts = {
    runs: chosen.length > 0 ? chosen : data.runs,
    isChosen: chosen.length > 0,
    keys: known,
    values,
    params,
    theme: props.theme,
    revision,
  }
  return (
    <div class="runs">
      <ExperimentList
        experiments={every}
        selected={experiments}
        onChange={(ids) => change({ e: listText(ids), sel: undefined }, { push: true })}
      />
      <section class="work" aria-label="Runs">
        <div class="bar">
          <FilterBox
            value={filter}
            error={data.error}
            onChange={(q) => change({ q }, { push: true })}
          />
          <ViewsMenu scope={scope} params={params} />
          <Button onClick={() => setChoosing(true)}>Columns</Button>
        </div>
        <div class="strip">
          <Tabs
            label="How runs are shown"
            value={tab}
            options={tabs}
            onChange={(next) =>
              change({ tab: next === "table" ? undefined : next }, { push: true })
            }
          />
          <span class="live" data-open={open} title="Changes show by themselves">
            <i /> {open ? "Live" : "Not live"}
          </span>
        </div>
        {data.error !== undefined && !isRefused ? <Alert>{data.error.message}</Alert> : null}
        {tab === "table" ? (
          data.runs.length === 0 && !data.loading ? (
            <Empty title={filter === "" ? "No runs yet" : "No run matches"}>
              {filter === ""
                ? "Point an MLflow client at this server, and its runs show up here."
                : "Change the filter, or choose other experiments."}
            </Empty>
          ) : (
            <RunsTable
              data={data}
              layout={layout}
              values={values}
              sort={sort}
              selected={selected}
              revision={revision}
              onSelect={setSelected}
              onSort={(next) => change({ sort: next }, { push: true })}
              onPin={(id, pin) =>
                change({
                  pin: listText(
                    pin
                      ? [...arrangement.pinned, id]
                      : arrangement.pinned.filter((other) => other !== id),
                  ),
                })
              }
              onHide={(id) => change({ hide: listText([...arrangement.hidden, id]) })}
              onMove={(id, before) =>
                change({ first: listText(moveBefore(layout.others, id, before)) })
              }
            />
          )
        ) : (
          <div class="pane">
            {data.loading && data.runs.length === 0 ? <Spinner /> : null}
            {tab === "charts" ? <Charts {...parts} /> : null}
            {tab === "compare" ? <Compare {...parts} /> : null}
            {tab === "parallel" ? <Parallel {...parts} /> : null}
            {tab === "scatter" ? <Scatter {...parts} /> : null}
            {tab === "importance" ? <ImportancePane {...parts} /> : null}
          </div>
        )}
        <footer class="foot">
          <span>
            {formatCount(data.runs.length, "run")}
            {data.more ? " so far" : ""}
          </span>
          <span>{formatCount(known.metrics.length, "metric")}</span>
          {chosen.length === 0 ? null : (
            <>
              <strong>{chosen.length} selected</strong>
              <Button kind="quiet" onClick={() => setSelected([])}>
                Clear
              </Button>
            </>
          )}
          <span class="k-grow" />
          {data.loading ? <Spinner label="Reading runs" /> : null}
          {data.more && !data.loading ? <Button onClick={data.loadMore}>Load more</Button> : null}
        </footer>
      </section>
      {choosing ? (
        <ColumnDialog
          keys={known}
          arrangement={arrangement}
          onChange={change}
          onClose={() => setChoosing(false)}
        />
      ) : null}
    </div>
  )
}
