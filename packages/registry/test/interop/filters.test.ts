import { Filter } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { beforeAll, describe, expect, it } from "vitest"

const python = process.env["ASHLAR_PYTHON"] ?? ""

type Asked = readonly [Filter.Entity, string]

const pick = <A>(items: ReadonlyArray<A>) => fc.constantFrom(...items)
const words = (text: string): ReadonlyArray<string> => text.split(" ")

const prefixes = words(
  'metrics metric params param parameter parameters tags tag attribute attributes attr run dataset datasets `tags` "tags" weird Metrics',
)
const keys = words(
  "a a1 _x name min status key loss.val a-b a/b \"a\" `b` 'c' 1a é group order",
).concat(['"a b"', "`a.b`", '"it""s"', "``"])
const attributes = words(
  "run_id run_name status artifact_uri user_id start_time end_time created Created `run_name` name experiment_id creation_time last_update_time version_number source_path model_id model_type source_run_id creation_timestamp last_updated_timestamp last_updated_time nothing",
).concat(["`run name`", '"Run Name"', "attribute.name", "attributes.status", "run.run_id"])
const comparators = words("= != > >= < <= == <> ~ LIKE like ILIKE RLIKE IN in =! <=>").concat([
  "NOT IN",
  "not in",
  "NOT LIKE",
  "IS NULL",
  "is null",
  "IS NOT NULL",
  "is not null",
  "IS",
  "BETWEEN",
  "",
])
const values = words(
  `'x' "x" \`x\` 'it''s' "it""s" 1 -1 0.5 .5 1. 1e5 1E-5 -2.5e-3 +1 0x10 1e+5 x NULL true inf nan () ('a') ('a','b') ("a",'b') ('a',) (1) ('a',1) (a) '%x_' '' "" 'x "x`,
).concat(["('a' , 'b')", "'a b'", "'AND'", "''''"])

const field = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(pick(prefixes), pick(keys)).map((parts) => parts.join(".")) },
  { weight: 3, arbitrary: pick(attributes) },
  pick(keys),
)
const sound = fc.oneof(
  fc.tuple(
    pick(["metrics.a", "metric.`a b`"]),
    pick(words("= != > >= < <=")),
    pick(words("1 -0.5 1e3")),
  ),
  fc.tuple(
    pick(words('params.a tags."a b" param.x tag.y')),
    pick(words("= != LIKE ilike")),
    pick(words("'x' \"y\" ''")),
  ),
  fc.tuple(pick(attributes), pick(words("= != LIKE > <")), pick(words("'x' 5"))),
  fc.tuple(
    pick(words("run_id name experiment_id dataset.name model_id")),
    pick(["IN", "not in"]),
    pick(words("('a') ('a','b')")),
  ),
)
const one = fc
  .oneof({ weight: 2, arbitrary: sound }, fc.tuple(field, pick(comparators), pick(values)))
  .chain((parts) =>
    pick([" ", "  ", ""]).map((space) =>
      parts.join(space === "" && /\w/.test(parts[1]) ? " " : space),
    ),
  )
const text = fc.oneof(
  { weight: 4, arbitrary: one },
  fc
    .tuple(
      one,
      pick([" AND ", " and ", " And\n", "\tAND\t", " OR ", " AND AND ", ", ", "; ", " "]),
      one,
    )
    .map((p) => p.join("")),
  fc
    .tuple(pick(["(", "NOT ", "AND ", ""]), one, pick([")", " AND", ";", " -- x", " ASC", ""]))
    .map((p) => p.join("")),
)
const entities = pick<Filter.Entity>([
  "runs",
  "runs",
  "experiments",
  "registered-models",
  "model-versions",
  "logged-models",
])
const filters: ReadonlyArray<Asked> = fc.sample(fc.tuple(entities, text), {
  numRuns: 3000,
  seed: 17,
})
const orders: ReadonlyArray<Asked> = fc.sample(
  fc.tuple(
    pick<Filter.Entity>(["runs", "experiments", "model-versions"]),
    fc
      .tuple(field, pick(["", " ASC", " desc", " DESC ", " up", " ASC DESC"]))
      .map((p) => p.join("")),
  ),
  { numRuns: 400, seed: 19 },
)

const types = {
  attribute: "attribute",
  metric: "metric",
  param: "parameter",
  tag: "tag",
  dataset: "dataset",
}

const flat = (expression: Filter.Expression | undefined): ReadonlyArray<Filter.Clause> => {
  if (expression === undefined) return []
  if (expression.kind === "and") return expression.parts.flatMap(flat)
  if (expression.kind === "or" || expression.kind === "not") throw new Error("not MLflow's")
  return [expression]
}

const ours = ([entity, filter]: Asked) => {
  const result = Effect.runSync(Effect.result(Filter.parse(filter, { entity, grammar: "mlflow" })))
  if (result._tag === "Failure") return result.failure.message
  return flat(result.success.expression).map((clause) => [
    types[clause.field.type],
    clause.field.key,
    clause.comparator,
    clause.kind === "in" ? clause.values : "value" in clause ? clause.value : null,
  ])
}

const ourOrder = ([entity, clause]: Asked) => {
  const result = Effect.runSync(Effect.result(Filter.parseOrderBy([clause], { entity })))
  if (result._tag === "Failure") return result.failure.message
  const [order] = result.success
  return order === undefined ? "" : [types[order.field.type], order.field.key, order.direction]
}

/** Where the two differ, and why that is right. */
const allowed: ReadonlyArray<{
  readonly reason: string
  readonly of: RegExp
  /** What we do where MLflow does the other. */
  readonly we: "accept" | "refuse" | "read otherwise"
}> = [
  {
    reason:
      "MLflow compares a text with a list by =, != or LIKE, which never holds or fails inside",
    of: /(?:=|LIKE)\s*\(/i,
    we: "refuse",
  },
  {
    reason:
      "MLflow reads a text as a number only after it has accepted the filter, and fails with 500",
    of: /version_number/,
    we: "refuse",
  },
]
const allowedOrders: typeof allowed = [
  {
    reason: "a space behind ASC or DESC has no meaning",
    of: /(?:ASC|DESC)\s+$/i,
    we: "accept",
  },
  {
    reason:
      "MLflow's order_by goes through a shell's quoting, its filter does not: one rule for both",
    of: /^"tags"|^`\w+`\.|""/,
    we: "refuse",
  },
  {
    reason: "the same: a shell joins doubled quotes, a filter keeps them",
    of: /""/,
    we: "read otherwise",
  },
]

describe.skipIf(python === "")("MLflow's own parsers", () => {
  let theirs: { filters: ReadonlyArray<unknown>; orders: ReadonlyArray<unknown> }
  beforeAll(() => {
    const script = fileURLToPath(new URL("filters.py", import.meta.url))
    const { stdout, stderr, status } = spawnSync(python, [script], {
      input: JSON.stringify({ filters, orders }),
      encoding: "utf8",
      maxBuffer: 1 << 26,
    })
    if (status !== 0) throw new Error(stderr)
    theirs = JSON.parse(stdout.trim().split("\n").at(-1) ?? "")
  }, 120_000)

  const differences = (
    asked: ReadonlyArray<Asked>,
    their: ReadonlyArray<unknown>,
    our: (one: Asked) => unknown,
    allowlist: typeof allowed,
  ) =>
    asked.flatMap((one, index) => {
      const [mine, other] = [our(one), their[index]]
      const same =
        typeof mine === "string" || typeof other === "string"
          ? typeof mine === typeof other
          : JSON.stringify(mine) === JSON.stringify(other)
      const we =
        typeof mine === "string"
          ? "refuse"
          : typeof other === "string"
            ? "accept"
            : "read otherwise"
      const known = allowlist.some((entry) => entry.we === we && entry.of.test(one[1]))
      return same || known ? [] : [{ one, mine, other }]
    })

  it("accept, refuse and understand the same filters", () => {
    const found = differences(filters, theirs.filters, ours, allowed)
    expect(found).toEqual([])
    const accepted = theirs.filters.filter((answer) => typeof answer !== "string").length
    expect(accepted).toBeGreaterThan(300)
    expect(filters.length - accepted).toBeGreaterThan(300)
  })
  it("order alike", () => {
    expect(differences(orders, theirs.orders, ourOrder, allowedOrders)).toEqual([])
  })
})
