import { Empty, Spinner, useLoad } from "@ashlar/core/ui/index.ts"
import { useMemo } from "preact/hooks"
import { ColumnPicker } from "./axis-choice.tsx"
import { featuresOf, type Importance } from "./forest.ts"
import type { Question } from "./importance.worker.ts"
import { mainMetric } from "./columns.ts"
import { change } from "./location.ts"
import type { PaneProps } from "./pane.ts"
import { drawable, useColumns } from "./values.ts"

/** Fewer runs say nothing about parameters. */
const leastRuns = 8

declare global {
  /** Where the workers of the page lie; the bundler fills it in. */
  var ashlarWorkers: Readonly<Record<string, string>>
}

/** Asks the worker; the abort ends it. */
const ask = (question: Question, signal: AbortSignal): Promise<ReadonlyArray<Importance>> =>
  new Promise((resolve, reject) => {
    const script = globalThis.ashlarWorkers["importance"] ?? ""
    const worker = new Worker(new URL(script, document.baseURI), { type: "module" })
    const end = () => worker.terminate()
    signal.addEventListener("abort", end)
    worker.addEventListener("message", (event: MessageEvent<ReadonlyArray<Importance>>) => {
      end()
      resolve(event.data)
    })
    worker.addEventListener("error", () => {
      end()
      reject(new Error("the worker that computes the importance could not run"))
    })
    worker.postMessage(question)
  })

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`

/** Which parameters a metric depends on. */
export const ImportancePane = ({ runs, keys, params, values, revision }: PaneProps) => {
  const target = params.get("target") ?? `metric:${mainMetric(keys.metrics)}`
  const ids = useMemo(() => runs.map(({ runId }) => runId), [runs])
  const columns = [target, ...keys.params.map((key) => `param:${key}`)]
  const isThere = useColumns(values.cache, ids, columns, revision)
  const question = useMemo((): Question & { readonly runs: number } => {
    const rows = isThere
      ? runs.filter(({ runId }) => drawable(values.cache.get(target, runId)) !== undefined)
      : []
    const wanted = rows.map(({ runId }) => drawable(values.cache.get(target, runId)) ?? 0)
    return {
      target: wanted,
      runs: rows.length,
      features: featuresOf(
        keys.params.map((key) => ({
          name: key,
          values: rows.map(({ runId }) => values.cache.get(`param:${key}`, runId) ?? null),
        })),
        wanted,
      ),
    }
  }, [runs, isThere, target, keys.params])
  const canAsk = question.runs >= leastRuns && question.features.length > 0
  const found = useLoad(
    canAsk ? JSON.stringify([target, ids.length, ids[0], ids.at(-1), revision]) : undefined,
    (signal) => ask({ target: question.target, features: question.features }, signal),
  )
  return (
    <>
      <div class="tools">
        <ColumnPicker
          label="Metric"
          keys={keys}
          value={target}
          metricsOnly
          onChange={(id) => change({ target: id })}
        />
        <span class="k-quiet">
          {question.runs} of {runs.length} runs have it
        </span>
        {!isThere || (canAsk && found.loading) ? <Spinner label="Growing trees" /> : null}
      </div>
      {found.error === undefined ? null : <p class="k-quiet">{found.error.message}</p>}
      {isThere && !canAsk ? (
        <Empty title="Too little to tell">
          {`It takes ${leastRuns} runs with this metric, and parameters that differ between them.`}
        </Empty>
      ) : null}
      {found.value === undefined || !canAsk ? null : (
        <div class="k-card section">
          <div class="k-inset bars" role="table" aria-label="Importance of parameters">
            <h3>Parameter</h3>
            <h3>Importance</h3>
            <span />
            <h3>Correlation</h3>
            <span />
            {found.value.slice(0, 60).map(({ name, importance, correlation }) => [
              <span key={`${name} name`} class="k-clip" title={name}>
                {name}
              </span>,
              <div key={`${name} bar`} class="bar-track">
                <i class="bar-fill" style={{ left: 0, width: `${importance * 100}%` }} />
              </div>,
              <span key={`${name} share`} class="k-number">
                {percent(importance)}
              </span>,
              <div key={`${name} track`} class="bar-track">
                <i
                  class="bar-fill"
                  data-tone={correlation < 0 ? "bad" : "good"}
                  style={{
                    left: `${50 + Math.min(0, correlation) * 50}%`,
                    width: `${Math.abs(correlation) * 50}%`,
                  }}
                />
              </div>,
              <span key={`${name} rho`} class="k-number">
                {correlation.toFixed(2)}
              </span>,
            ])}
          </div>
          <p class="k-inset k-quiet" style={{ paddingTop: 0 }}>
            Importance: by how much the out-of-bag error of a random forest of 120 trees grows when
            the parameter's values are shuffled, as a share of all. Correlation: Spearman's rank
            correlation with the metric. Neither proves a cause.
          </p>
        </div>
      )}
    </>
  )
}
