import { type Case, experiment, type Family, get, post, run } from "../cases.ts"

const tag = (name: string, key: unknown, value: unknown = "v"): Case =>
  post(name, "runs/set-tag", { run_id: "{{run}}", key, value })

const param = (name: string, key: unknown, value: unknown = "v"): Case =>
  post(name, "runs/log-parameter", { run_id: "{{run}}", key, value })

const expTag = (name: string, key: unknown, value: unknown = "v"): Case =>
  post(name, "experiments/set-experiment-tag", { experiment_id: "{{exp}}", key, value })

/** Keys, lengths, ids. */
export const validation: Family = {
  name: "validation",
  cases: [
    experiment("val-checks"),
    run("checks", "run"),
    tag("tag with dots", "a.b"),
    tag("tag with colon", "a:b"),
    tag("tag with slash", "a/b"),
    tag("tag with dash and space", "a - b"),
    tag("tag with double slash", "a//b"),
    tag("tag with final slash", "a/"),
    tag("tag with here", "./a"),
    tag("tag with parent", "../a"),
    tag("tag dot dot", ".."),
    tag("tag dot dot word", "..a"),
    tag("tag absolute", "/a"),
    tag("tag dot", "."),
    tag("tag empty", ""),
    tag("tag with quote", 'a"b'),
    tag("tag with newline", "a\nb"),
    tag("tag with tab", "a\tb"),
    tag("tag with umlaut", "größe"),
    tag("tag with other script", "ключ"),
    tag("tag with emoji", "a😀"),
    tag("tag 250", "k".repeat(250)),
    tag("tag 251", "k".repeat(251)),
    tag("tag value 8000", "long", "x".repeat(8000)),
    tag("tag value 8001", "long", "x".repeat(8001)),
    tag("tag null", "null", null),
    tag("tag list", "list", []),
    tag("tag with NUL", "nul", "a\u0000b"),
    tag("tag with html", "html", "<img src=x onerror=alert(1)>"),
    tag("tag with SQL", "sql", "'; DROP TABLE runs; --"),
    tag("tag with emoji in value", "emoji", "😀".repeat(10)),
    param("param with parent", "../p"),
    param("param 250", "p".repeat(250)),
    param("param 251", "p".repeat(251)),
    param("param value 6000", "v6000", "x".repeat(6000)),
    param("param value 6001", "v6001", "x".repeat(6001)),
    param("param with dollar", "a$"),
    get("run", "runs/get", { run_id: "{{run}}" }),
    expTag("experiment tag 250", "k".repeat(250)),
    expTag("experiment tag 251", "k".repeat(251)),
    expTag("experiment tag value 5000", "long", "x".repeat(5000)),
    expTag("experiment tag value 5001", "long", "x".repeat(5001)),
    expTag("experiment tag bad key", "a$"),
    expTag("experiment tag with parent", "a/../b"),
    get("experiment", "experiments/get", { experiment_id: "{{exp}}" }),
    post("experiment name 500", "experiments/create", { name: "val-".padEnd(500, "x") }),
    post("experiment name 501", "experiments/create", { name: "val-".padEnd(501, "x") }),
    post("experiment with bad tag", "experiments/create", {
      name: "val-bad-tag",
      tags: [{ key: "../k", value: "v" }],
    }),
    get("run id too long", "runs/get", { run_id: "r".repeat(257) }),
    get("run id with slash", "runs/get", { run_id: "a/b" }),
    get("run id with dots", "runs/get", { run_id: "../x" }),
    get("experiment id with letters", "experiments/get", { experiment_id: "abc" }),
    get("experiment id with slash", "experiments/get", { experiment_id: "a/b" }),
    get("experiment id too long", "experiments/get", { experiment_id: "1".repeat(65) }),
    get("experiment id beyond int64", "experiments/get", { experiment_id: "99999999999999999999" }),
    post("run with long tag", "runs/create", {
      experiment_id: "{{exp}}",
      run_name: "long",
      tags: [{ key: "k".repeat(251), value: "v" }],
    }),
    post("run with long name", "runs/create", {
      experiment_id: "{{exp}}",
      run_name: "n".repeat(300),
    }),
    post("run with negative start", "runs/create", {
      experiment_id: "{{exp}}",
      start_time: -1,
      run_name: "neg",
    }),
  ],
}
