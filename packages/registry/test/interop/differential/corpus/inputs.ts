import { type Case, experiment, type Family, get, post, run } from "../cases.ts"

const dataset = (name: string, more: object = {}) => ({
  name,
  digest: "d1",
  source_type: "local",
  source: "{}",
  ...more,
})

const logInputs = (name: string, more: Readonly<Record<string, unknown>>, as = "run"): Case =>
  post(name, "runs/log-inputs", { run_id: `{{${as}}}`, ...more })

/** To a run that no later case reads. */
const elsewhere = (name: string, more: Readonly<Record<string, unknown>>): Case =>
  logInputs(name, more, "other")

/** Datasets and models that runs read and write. */
export const inputs: Family = {
  name: "inputs",
  cases: [
    experiment("i-inputs"),
    run("inputs", "run"),
    experiment("i-elsewhere", "exp2"),
    run("elsewhere", "other", {}, "exp2"),
    logInputs("dataset", {
      datasets: [
        {
          tags: [{ key: "mlflow.data.context", value: "training" }],
          dataset: dataset("flights", { schema: '{"a":1}', profile: '{"rows":2}' }),
        },
      ],
    }),
    get("run with dataset", "runs/get", { run_id: "{{run}}" }),
    logInputs("same dataset", { datasets: [{ dataset: dataset("flights") }] }),
    logInputs("other dataset", { datasets: [{ dataset: dataset("weather", { digest: "d2" }) }] }),
    get("run with two", "runs/get", { run_id: "{{run}}" }),
    logInputs("nothing", {}),
    logInputs("empty", { datasets: [] }),
    elsewhere("dataset without name", { datasets: [{ dataset: { digest: "d" } }] }),
    elsewhere("dataset without digest", {
      datasets: [{ dataset: { name: "x", source_type: "l", source: "s" } }],
    }),
    logInputs("dataset without source", { datasets: [{ dataset: { name: "x", digest: "d" } }] }),
    elsewhere("entry without dataset", { datasets: [{ tags: [] }] }),
    logInputs("datasets as text", { datasets: "x" }),
    logInputs("long name", { datasets: [{ dataset: dataset("n".repeat(501)) }] }),
    logInputs("long digest", { datasets: [{ dataset: dataset("x", { digest: "d".repeat(37) }) }] }),
    logInputs("long source", {
      datasets: [{ dataset: dataset("x", { source: "s".repeat(65_536) }) }],
    }),
    logInputs("long tag key", {
      datasets: [{ tags: [{ key: "k".repeat(256), value: "v" }], dataset: dataset("x") }],
    }),
    logInputs("long tag value", {
      datasets: [{ tags: [{ key: "k", value: "v".repeat(501) }], dataset: dataset("x") }],
    }),
    elsewhere("tag without key", { datasets: [{ tags: [{ value: "v" }], dataset: dataset("x") }] }),
    post("without run", "runs/log-inputs", { datasets: [{ dataset: dataset("x") }] }),
    post("unknown run", "runs/log-inputs", {
      run_id: "0123456789abcdef0123456789abcdef",
      datasets: [{ dataset: dataset("x") }],
    }),
    post("summaries", "experiments/search-datasets", { experiment_ids: ["{{exp}}"] }),
    post("summaries by ajax", "/ajax-api/2.0/mlflow/experiments/search-datasets", {
      experiment_ids: ["{{exp}}"],
    }),
    post("summaries of 21", "experiments/search-datasets", {
      experiment_ids: Array.from({ length: 21 }, (_, index) => String(index)),
    }),
    post("search by dataset", "runs/search", {
      experiment_ids: ["{{exp}}"],
      filter: "dataset.name = 'flights'",
    }),
    post("search by digest", "runs/search", {
      experiment_ids: ["{{exp}}"],
      filter: "dataset.digest IN ('d2')",
    }),
    post("search by context", "runs/search", {
      experiment_ids: ["{{exp}}"],
      filter: "datasets.context LIKE 'train%'",
    }),
    post("search by other context", "runs/search", {
      experiment_ids: ["{{exp}}"],
      filter: "dataset.context = 'evaluation'",
    }),
    post(
      "logged model",
      "logged-models",
      { experiment_id: "{{exp}}", name: "net", source_run_id: "{{run}}" },
      { capture: { model: "model.info.model_id" } },
    ),
    logInputs("model", { models: [{ model_id: "{{model}}" }] }),
    elsewhere("model without id", { models: [{}] }),
    post("output", "runs/outputs", {
      run_id: "{{run}}",
      models: [{ model_id: "{{model}}", step: 3 }],
    }),
    post("output without step", "runs/outputs", {
      run_id: "{{run}}",
      models: [{ model_id: "{{model}}" }],
    }),
    post("output of nothing", "runs/outputs", { run_id: "{{run}}", models: [] }),
    post("output of unknown run", "runs/outputs", {
      run_id: "0123456789abcdef0123456789abcdef",
      models: [{ model_id: "{{model}}", step: 0 }],
    }),
    post("output without run", "runs/outputs", { models: [{ model_id: "{{model}}", step: 0 }] }),
    get("run with models", "runs/get", { run_id: "{{run}}" }),
    get("old path of outputs", "runs/log-outputs"),
  ],
}
