import {
  Alert,
  Badge,
  Empty,
  formatDuration,
  formatNumber,
  formatTime,
  Spinner,
  Tabs,
  useLoad,
} from "@ashlar/core/ui/index.ts"
import { useMemo, useState } from "preact/hooks"
import { Artifacts } from "./artifacts.tsx"
import { Charts } from "./charts.tsx"
import { api, numberOf, type RunAnswer } from "./client.ts"
import { change, href, usePlace } from "./location.ts"
import { toneOf } from "./runs-table.tsx"
import { durationOf, useValues } from "./values.ts"

const tabs = [
  ["overview", "Overview"],
  ["metrics", "Metrics"],
  ["files", "Artifacts"],
] as const

/** Names and values as a table with a search. */
const Pairs = (props: {
  readonly title: string
  readonly rows: ReadonlyArray<readonly [key: string, value: string, more?: string]>
}) => {
  const [search, setSearch] = useState("")
  const wanted = search.toLowerCase()
  const found = props.rows.filter(([key, value]) =>
    `${key} ${value}`.toLowerCase().includes(wanted),
  )
  return (
    <section class="k-card section" aria-label={props.title}>
      <header>
        <h2>
          {props.title} <span class="k-quiet">{props.rows.length}</span>
        </h2>
        {props.rows.length < 8 ? null : (
          <input
            class="k-input"
            type="search"
            aria-label={`Search ${props.title}`}
            placeholder="Search"
            value={search}
            onInput={(event) => setSearch(event.currentTarget.value)}
          />
        )}
      </header>
      {found.length === 0 ? (
        <p class="k-inset k-quiet">None.</p>
      ) : (
        <div style={{ maxHeight: "420px", overflow: "auto" }}>
          <table class="k-table">
            <tbody>
              {found.slice(0, 1000).map(([key, value, more]) => (
                <tr key={key}>
                  <td style={{ width: "42%" }}>{key}</td>
                  <td class="k-mono">{value}</td>
                  {more === undefined ? null : <td class="k-quiet k-number">{more}</td>}
                </tr>
              ))}
            </tbody>
          </table>
          {found.length > 1000 ? (
            <p class="k-inset k-quiet">{found.length - 1000} more: search for them.</p>
          ) : null}
        </div>
      )}
    </section>
  )
}

const Facts = ({ run }: { readonly run: RunAnswer }) => (
  <section class="k-card section">
    <dl class="facts k-inset">
      {(
        [
          ["Started", formatTime(run.started)],
          ["Duration", formatDuration(durationOf(run))],
          ["User", run.user === "" ? "-" : run.user],
          ["Run ID", run.runId],
          ["Experiment", run.experimentId],
          ["Commit", run.tags["mlflow.source.git.commit"]?.slice(0, 12) ?? "-"],
        ] as const
      ).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  </section>
)

const Overview = ({ run }: { readonly run: RunAnswer }) => (
  <>
    <Facts run={run} />
    <div class="columns2">
      <Pairs
        title="Metrics"
        rows={run.metrics.map(({ key, value, step }) => [
          key,
          formatNumber(numberOf(value)),
          `step ${step}`,
        ])}
      />
      <Pairs title="Parameters" rows={Object.entries(run.params)} />
      <Pairs title="Tags" rows={Object.entries(run.tags)} />
      <Pairs
        title="Datasets"
        rows={run.inputs.map(({ name, uri, digest, context }) => [
          context === "" ? name : `${name} (${context})`,
          uri === "" ? digest : uri,
        ])}
      />
    </div>
  </>
)

/** One run. */
export const RunPage = (props: { readonly runId: string; readonly theme: string }) => {
  const { runId } = props
  const { params } = usePlace()
  const tab = tabs.find(([id]) => id === params.get("show"))?.[0] ?? "overview"
  const { value: run, error, loading } = useLoad(runId, (signal) => api.run(runId, signal))
  const values = useValues(runId)
  const keys = useMemo(
    () => ({ metrics: run?.metrics.map(({ key }) => key) ?? [], params: [], tags: [] }),
    [run],
  )
  const runs = useMemo(() => (run === undefined ? [] : [run]), [run])
  if (error !== undefined) {
    return (
      <div class="page">
        <Alert>{error.message}</Alert>
      </div>
    )
  }
  if (run === undefined) return <div class="page">{loading ? <Spinner /> : null}</div>
  return (
    <div class="page">
      <div class="page-head">
        <a href={href("/runs", { e: run.experimentId })}>Runs</a>
        <span class="k-quiet">/</span>
        <h1>{run.name}</h1>
        <Badge tone={toneOf(run.status)}>{run.status.toLowerCase()}</Badge>
        <span class="k-grow" />
        <a class="k-button" href={href("/lineage", { run: runId })}>
          Lineage
        </a>
      </div>
      <Tabs
        label="About this run"
        value={tab}
        options={tabs}
        onChange={(show) =>
          change({ show: show === "overview" ? undefined : show }, { push: true })
        }
      />
      <div style={{ height: "14px" }} />
      {tab === "overview" ? <Overview run={run} /> : null}
      {tab === "metrics" ? (
        run.metrics.length === 0 ? (
          <Empty title="No metrics">This run has logged none.</Empty>
        ) : (
          <div class="pane" style={{ height: "calc(100vh - 210px)", padding: 0 }}>
            <Charts
              runs={runs}
              isChosen
              keys={keys}
              values={values}
              params={params}
              theme={props.theme}
              revision={0}
            />
          </div>
        )
      ) : null}
      {tab === "files" ? <Artifacts runId={runId} /> : null}
    </div>
  )
}
