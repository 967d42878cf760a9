import { type Case, del, experiment, type Family, get, patch, post, run } from "../cases.ts"

const search = (name: string, more: Readonly<Record<string, unknown>> = {}, as?: string): Case =>
  post(
    name,
    "logged-models/search",
    { experiment_ids: ["{{exp}}"], ...more },
    as === undefined ? {} : { capture: { [as]: "next_page_token" } },
  )

const metric = (name: string, model: string, value: number, more: object = {}): Case =>
  post(name, "runs/log-metric", {
    run_id: "{{run}}",
    key: "auc",
    value,
    timestamp: 1_700_000_000_000,
    step: 0,
    model_id: `{{${model}}}`,
    ...more,
  })

/** MLflow 3's logged models. */
export const loggedModels: Family = {
  name: "logged-models",
  cases: [
    experiment("l-models"),
    run("trainer", "run"),
    experiment("l-elsewhere", "exp2"),
    post(
      "create elsewhere",
      "logged-models",
      { experiment_id: "{{exp2}}", name: "other" },
      { capture: { four: "model.info.model_id" } },
    ),
    post(
      "create",
      "logged-models",
      {
        experiment_id: "{{exp}}",
        name: "first",
        model_type: "gbdt",
        source_run_id: "{{run}}",
        params: [{ key: "rate", value: "0.1" }],
        tags: [{ key: "team", value: "delay" }],
      },
      { capture: { one: "model.info.model_id" } },
    ),
    post(
      "create second",
      "logged-models",
      { experiment_id: "{{exp}}", name: "second", params: [{ key: "rate", value: "0.2" }] },
      { capture: { two: "model.info.model_id" } },
    ),
    post(
      "create without name",
      "logged-models",
      { experiment_id: "{{exp}}" },
      { capture: { three: "model.info.model_id" } },
    ),
    post("create without experiment", "logged-models", { name: "x" }),
    post("create in unknown experiment", "logged-models", { experiment_id: "999999", name: "x" }),
    post("create with slash", "logged-models", { experiment_id: "{{exp}}", name: "a/b" }),
    post("create with colon", "logged-models", { experiment_id: "{{exp}}", name: "a:b" }),
    post("create with empty name", "logged-models", { experiment_id: "{{exp}}", name: "" }),
    post("create with number as name", "logged-models", { experiment_id: "{{exp}}", name: 5 }),
    get("get", "logged-models/{{one}}"),
    get("get unknown", "logged-models/m-0123456789abcdef0123456789abcdef"),
    patch("ready", "logged-models/{{one}}", {
      model_id: "{{one}}",
      status: "LOGGED_MODEL_READY",
    }),
    patch("failed", "logged-models/{{two}}", {
      model_id: "{{two}}",
      status: "LOGGED_MODEL_UPLOAD_FAILED",
    }),
    patch("ready by path alone", "logged-models/{{four}}", { status: "LOGGED_MODEL_READY" }),
    patch("bad status", "logged-models/{{two}}", { model_id: "{{two}}", status: "DONE" }),
    patch("no status", "logged-models/{{two}}", { model_id: "{{two}}" }),
    patch("unknown ready", "logged-models/m-0123456789abcdef0123456789abcdef", {
      model_id: "m-0123456789abcdef0123456789abcdef",
      status: "LOGGED_MODEL_READY",
    }),
    get("get ready", "logged-models/{{one}}"),
    patch("tags", "logged-models/{{one}}/tags", {
      tags: [
        { key: "a", value: "1" },
        { key: "team", value: "ops" },
      ],
    }),
    patch("no tags", "logged-models/{{one}}/tags", { tags: [] }),
    patch("tag without key", "logged-models/{{four}}/tags", { tags: [{ value: "x" }] }),
    patch("tags of unknown", "logged-models/m-0123456789abcdef0123456789abcdef/tags", {
      tags: [{ key: "a", value: "1" }],
    }),
    del("untag", "logged-models/{{one}}/tags/a"),
    del("untag again", "logged-models/{{one}}/tags/a"),
    get("tagged", "logged-models/{{one}}"),
    post("params", "logged-models/{{two}}/params", {
      model_id: "{{two}}",
      params: [{ key: "depth", value: "6" }],
    }),
    post("params by path alone", "logged-models/{{four}}/params", {
      params: [{ key: "depth", value: "6" }],
    }),
    post("params of unknown", "logged-models/m-0123456789abcdef0123456789abcdef/params", {
      model_id: "m-0123456789abcdef0123456789abcdef",
      params: [{ key: "depth", value: "6" }],
    }),
    post("changed params", "logged-models/{{two}}/params", {
      model_id: "{{two}}",
      params: [{ key: "depth", value: "7" }],
    }),
    get("with params", "logged-models/{{two}}"),
    metric("metric of one", "one", 0.7),
    metric("metric of two", "two", 0.8),
    metric("later metric of one", "one", 0.9, { step: 1 }),
    metric("metric with dataset", "one", 0.6, {
      dataset_name: "flights",
      dataset_digest: "d1",
    }),
    get("with metrics", "logged-models/{{one}}"),
    search("search"),
    search("by name", { filter: "name = 'first'" }),
    search("by name like", { filter: "name LIKE 'f%'" }),
    search("by attribute", { filter: "attributes.status = 'LOGGED_MODEL_READY'" }),
    search("by status of none", { filter: "status = 'READY'" }),
    search("by type", { filter: "model_type = 'gbdt'" }),
    search("by run", { filter: "source_run_id = '{{run}}'" }),
    search("by tag", { filter: "tags.team = 'ops'" }),
    search("by param", { filter: "params.rate = '0.2'" }),
    search("by metric", { filter: "metrics.auc >= 0.8" }),
    search("by metric of dataset", {
      filter: "metrics.auc < 0.65",
      datasets: [{ dataset_name: "flights", dataset_digest: "d1" }],
    }),
    search("by id in", { filter: "model_id IN ('{{one}}', '{{two}}')" }),
    search("by time", { filter: "creation_timestamp > 0" }),
    search("by unknown attribute", { filter: "nothing = 'x'" }),
    search("by broken filter", { filter: "name =" }),
    search("by wrong type", { filter: "metrics.auc > 'x'" }),
    search("ordered by name", { order_by: [{ field_name: "name", ascending: true }] }),
    search("ordered by metric", { order_by: [{ field_name: "metrics.auc", ascending: false }] }),
    search("ordered by nothing", { order_by: [{ field_name: "nothing" }] }),
    search("ordered without field", { order_by: [{ ascending: true }] }),
    search(
      "page 1",
      { max_results: 2, order_by: [{ field_name: "name", ascending: true }] },
      "token",
    ),
    search("page 2", {
      max_results: 2,
      order_by: [{ field_name: "name", ascending: true }],
      page_token: "{{token}}",
    }),
    search("page of other search", { max_results: 2, page_token: "{{token}}" }),
    search("bad token", { page_token: "!!!" }),
    search("too many", { max_results: 51 }),
    search("none wanted", { max_results: 0 }),
    post("search nowhere", "logged-models/search", { experiment_ids: [] }),
    post("search without experiments", "logged-models/search", {}),
    get("directories", "logged-models/{{one}}/artifacts/directories"),
    get(
      "directories of unknown",
      "logged-models/m-0123456789abcdef0123456789abcdef/artifacts/directories",
    ),
    del("delete", "logged-models/{{three}}"),
    get("get deleted", "logged-models/{{three}}"),
    del("delete again", "logged-models/{{three}}"),
    del("delete unknown", "logged-models/m-0123456789abcdef0123456789abcdef"),
    search("search after deletion"),
  ],
}
