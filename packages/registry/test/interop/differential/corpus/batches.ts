import { type Case, experiment, type Family, get, post, run } from "../cases.ts"

const batch = (name: string, more: Readonly<Record<string, unknown>>): Case =>
  post(name, "runs/log-batch", { run_id: "{{run}}", ...more })

const metric = (key: unknown, value: unknown = 1, step: unknown = 0) => ({
  key,
  value,
  timestamp: 1_700_000_000_000,
  step,
})

const many = <A>(count: number, make: (index: number) => A): ReadonlyArray<A> =>
  Array.from({ length: count }, (_, index) => make(index))

/** Batches: limits, duplicates, what is refused whole. */
export const batches: Family = {
  name: "batches",
  cases: [
    experiment("b-batches"),
    run("batches", "run"),
    batch("all kinds", {
      metrics: [metric("a", 1, 0), metric("a", 2, 1), metric("b", "NaN")],
      params: [{ key: "p", value: "1" }],
      tags: [{ key: "t", value: "x" }],
    }),
    get("after all kinds", "runs/get", { run_id: "{{run}}" }),
    batch("nothing", {}),
    batch("empty lists", { metrics: [], params: [], tags: [] }),
    batch("rename", { tags: [{ key: "mlflow.runName", value: "renamed" }] }),
    get("renamed", "runs/get", { run_id: "{{run}}" }),
    batch("same param", { params: [{ key: "p", value: "1" }] }),
    batch("changed param", { params: [{ key: "p", value: "2" }] }),
    batch("two changed params", {
      params: [
        { key: "p", value: "2" },
        { key: "q", value: "2" },
      ],
    }),
    batch("duplicate params", {
      params: [
        { key: "d", value: "1" },
        { key: "d", value: "2" },
      ],
    }),
    batch("duplicate equal params", {
      params: [
        { key: "d", value: "1" },
        { key: "d", value: "1" },
      ],
    }),
    batch("duplicate tags", {
      tags: [
        { key: "dt", value: "1" },
        { key: "dt", value: "2" },
      ],
    }),
    batch("duplicate metrics", { metrics: [metric("dm", 1, 3), metric("dm", 1, 3)] }),
    get("no duplicates", "metrics/get-history", { run_id: "{{run}}", metric_key: "dm" }),
    batch("1000 metrics", { metrics: many(1000, (index) => metric("many", index, index)) }),
    batch("1001 metrics", { metrics: many(1001, (index) => metric("many", index, index)) }),
    batch("100 params", { params: many(100, (index) => ({ key: `p${index}`, value: "x" })) }),
    batch("101 params", { params: many(101, (index) => ({ key: `p${index}`, value: "x" })) }),
    batch("100 tags", { tags: many(100, (index) => ({ key: `t${index}`, value: "x" })) }),
    batch("101 tags", { tags: many(101, (index) => ({ key: `t${index}`, value: "x" })) }),
    batch("1001 together", {
      metrics: many(950, (index) => metric("many", index, index)),
      params: many(51, (index) => ({ key: `p${index}`, value: "x" })),
    }),
    batch("metric without key", { metrics: [{ value: 1, timestamp: 1 }] }),
    batch("metric with number as key", { metrics: [metric(31)] }),
    batch("metric with bad key", { metrics: [metric("ok"), metric("../x")] }),
    batch("metric without value", { metrics: [{ key: "x", timestamp: 1 }] }),
    batch("metric without time", { metrics: [{ key: "x", value: 1 }] }),
    batch("metric with negative time", { metrics: [{ key: "x", value: 1, timestamp: -1 }] }),
    batch("metrics as object", { metrics: { key: "x" } }),
    batch("metric as text", { metrics: ["x"] }),
    batch("param without key", { params: [{ value: "1" }] }),
    batch("param without value", { params: [{ key: "nv" }] }),
    batch("param with bad key", { params: [{ key: "a/../b", value: "1" }] }),
    batch("param too long", { params: [{ key: "long", value: "x".repeat(6001) }] }),
    batch("param longest", { params: [{ key: "longest", value: "x".repeat(6000) }] }),
    batch("tag too long", { tags: [{ key: "long", value: "x".repeat(8001) }] }),
    batch("tag without key", { tags: [{ value: "1" }] }),
    batch("tag without value", { tags: [{ key: "tv" }] }),
    batch("tag with bad key", { tags: [{ key: "a$b", value: "1" }] }),
    batch("tag with long key", { tags: [{ key: "k".repeat(251), value: "1" }] }),
    post("without run", "runs/log-batch", { metrics: [metric("x")] }),
    post("unknown run", "runs/log-batch", {
      run_id: "0123456789abcdef0123456789abcdef",
      metrics: [metric("x")],
    }),
    post("number as run", "runs/log-batch", { run_id: 31, metrics: [metric("x")] }),
    get("at the end", "runs/get", { run_id: "{{run}}" }),
    // After the end: MLflow records something else than what it was given.
    batch("metric with word as value", { metrics: [metric("ok", "much")] }),
    batch("metric with float step", { metrics: [metric("x", 1, 0.5)] }),
    batch("param with number", { params: [{ key: "n", value: 1 }] }),
  ],
}
