import { type Case, experiment, type Family, get, post, run } from "../cases.ts"

const raw = (
  name: string,
  path: string,
  text: string | Uint8Array,
  type = "application/json",
): Case => post(name, path, undefined, { raw: text, headers: { "content-type": type } })

/** Bodies that are not what they should be. */
export const badInput: Family = {
  name: "bad-input",
  cases: [
    experiment("bad-input"),
    run("bad", "run"),
    raw("broken JSON", "runs/create", '{"experiment_id": '),
    raw("no JSON", "runs/create", "hello"),
    raw("empty body", "runs/create", ""),
    raw("empty body where a field is needed", "runs/update", ""),
    raw("a list", "runs/create", "[]"),
    raw("a number", "runs/create", "5"),
    raw("null", "runs/create", "null"),
    raw("a text", "runs/create", '"text"'),
    raw(
      "encoded twice",
      "runs/set-tag",
      JSON.stringify('{"run_id":"{{run}}","key":"twice","value":"v"}').replaceAll("{{run}}", "x"),
    ),
    raw("not UTF-8", "experiments/create", Uint8Array.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d])),
    raw("another type", "experiments/create", "name=x", "application/x-www-form-urlencoded"),
    raw("plain text", "experiments/create", '{"name":"bad-plain"}', "text/plain"),
    raw(
      "json with charset",
      "experiments/create",
      '{"name":"bad-charset"}',
      "application/json; charset=utf-8",
    ),
    raw("repeated key", "experiments/create", '{"name":"bad-first","name":"bad-second"}'),
    run("odd", "odd"),
    raw(
      "NaN literal",
      "runs/log-metric",
      '{"run_id":"{{odd}}","key":"n","value":NaN,"timestamp":1}',
    ),
    raw(
      "Infinity literal",
      "runs/log-metric",
      '{"run_id":"{{odd}}","key":"n","value":-Infinity,"timestamp":1}',
    ),
    raw(
      "big integer",
      "runs/log-metric",
      '{"run_id":"{{odd}}","key":"n","value":1,"timestamp":1,"step":9223372036854775807}',
    ),
    raw(
      "too big integer",
      "runs/log-metric",
      '{"run_id":"{{odd}}","key":"n","value":1,"timestamp":1,"step":9223372036854775808}',
    ),
    raw(
      "integer as float",
      "runs/log-metric",
      '{"run_id":"{{run}}","key":"n","value":1,"timestamp":1.0,"step":2.0}',
    ),
    raw(
      "integer with exponent",
      "runs/log-metric",
      '{"run_id":"{{run}}","key":"n","value":1,"timestamp":1e3,"step":1}',
    ),
    get("history of big steps", "metrics/get-history", { run_id: "{{odd}}", metric_key: "n" }),
    get("history of odd numbers", "metrics/get-history", { run_id: "{{run}}", metric_key: "n" }),
    post("unknown field", "experiments/create", { name: "bad-unknown", colour: "red" }),
    post("list as text", "runs/log-batch", { run_id: "{{run}}", metrics: "[]" }),
    post("null list", "runs/log-batch", { run_id: "{{run}}", metrics: null }),
    post("null in list", "runs/log-batch", { run_id: "{{run}}", tags: [null] }),
    post("object as id", "runs/update", { run_id: { a: 1 } }),
    post("list as id", "runs/update", { run_id: ["{{run}}"] }),
    post("true as id", "runs/update", { run_id: true }),
    post("prototype", "experiments/create", { name: "bad-proto", ["__proto__"]: { x: 1 } }),
    raw("prototype key", "runs/set-tag", '{"run_id":"{{run}}","key":"__proto__","value":"v"}'),
    raw("constructor key", "runs/set-tag", '{"run_id":"{{run}}","key":"constructor","value":"v"}'),
    raw(
      "deep nesting",
      "runs/log-batch",
      `{"run_id":"{{run}}","x":${"[".repeat(500)}${"]".repeat(500)}}`,
    ),
    get("run with odd tags", "runs/get", { run_id: "{{run}}" }),
    get("unknown query field", "experiments/get", { experiment_id: "0", colour: "red" }),
    get("two values for one field", "runs/get", { run_id: ["{{run}}", "x"] }),
    get("SQL in id", "runs/get", { run_id: "x' OR '1'='1" }),
    get("html in id", "registered-models/get", { name: "<script>alert(1)</script>" }),
  ],
}
