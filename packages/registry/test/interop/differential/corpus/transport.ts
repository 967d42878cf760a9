import { type Case, experiment, type Family, get, patch, post, put, run } from "../cases.ts"

const bodied = (name: string, path: string, text: string): Case => ({
  ...get(name, path),
  raw: text,
})

/** Prefixes, methods, families out of scope. */
export const transport: Family = {
  name: "transport",
  cases: [
    experiment("t-transport"),
    run("transport", "run"),
    get("health", "/health"),
    get("version", "/version"),
    get("server info", "/api/3.0/mlflow/server-info"),
    post("server info by post", "/api/3.0/mlflow/server-info", {}),
    get("ajax server info", "/ajax-api/3.0/mlflow/server-info"),
    get("ajax", "/ajax-api/2.0/mlflow/experiments/get", { experiment_id: "0" }),
    get("preview", "/api/2.0/preview/mlflow/experiments/get", { experiment_id: "0" }),
    get("ajax preview", "/ajax-api/2.0/preview/mlflow/experiments/get", { experiment_id: "0" }),
    get("wrong version", "/api/3.0/mlflow/experiments/get", { experiment_id: "0" }),
    get("unknown path", "nothing/at-all"),
    get("unknown root", "/api/9.9/mlflow/experiments/get"),
    post("post where get is meant", "experiments/get", { experiment_id: "0" }),
    get("get where post is meant", "experiments/create"),
    put("put where post is meant", "experiments/create", { name: "t-put" }),
    patch("patch where post is meant", "runs/update", { run_id: "{{run}}" }),
    get("final slash", "experiments/get/", { experiment_id: "0" }),
    get("double slash", "/api/2.0/mlflow//experiments/get", { experiment_id: "0" }),
    get("upper case", "Experiments/Get", { experiment_id: "0" }),
    bodied("get with body", "experiments/get", '{"experiment_id":"0"}'),
    get(
      "get with body and query",
      "experiments/get",
      { experiment_id: "0" },
      {
        raw: '{"experiment_id":"77"}',
      },
    ),
    get("number in query", "experiments/get", { experiment_id: 0 }),
    get("encoded query", "/api/2.0/mlflow/experiments/get-by-name?experiment_name=t%2Dtransport"),
    get("plus in query", "/api/2.0/mlflow/experiments/get-by-name?experiment_name=t+transport"),
    post("no body", "experiments/search"),
    post("tag with id as number", "experiments/set-experiment-tag", {
      experiment_id: 999_999,
      key: "k",
      value: "v",
    }),
    get("workspaces", "/api/3.0/mlflow/workspaces"),
    get("gateway", "/api/3.0/mlflow/gateway/routes"),
    post("graphql", "/graphql", { query: "{ __typename }" }),
  ],
}
