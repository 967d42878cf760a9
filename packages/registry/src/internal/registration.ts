import { type BlobStore, type Database, ModelPackage, type ModelSink } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import * as ModelFormat from "../ModelFormat.ts"
import { invalid, RegistryError } from "../RegistryError.ts"
import * as Files from "./files.ts"
import type { VersionRow } from "./migrations/0006-models.ts"
import * as Rules from "./model-rules.ts"
import type { Store } from "./store.ts"
import type { Draft } from "./version-insert.ts"
import type { Versions } from "./versions.ts"

/** Stores a package's files and adds a version; the same key adds one version. */
export type Register = (
  model: ModelSink.RegisterModel,
) => Effect.Effect<VersionRow, Database.DatabaseError | BlobStore.BlobStoreError | RegistryError>

/** What flavors say of the file they load; other flavors load what they like. */
const formats: Readonly<Record<string, ReadonlyArray<ModelFormat.Format>>> = {
  onnx: ["onnx"],
  tensorflowjs: ["tensorflowjs"],
  tfjs: ["tensorflowjs"],
  safetensors: ["safetensors"],
  xgboost: ["xgboost"],
  lightgbm: ["lightgbm"],
  pmml: ["pmml"],
  pytorch: ["pytorch", "torchscript"],
  keras: ["keras"],
}

/** The format of a package's entry, or why the entry is not what the package says. */
const recognised = Effect.fnUntraced(function* ({
  directory,
  manifest,
}: ModelPackage.ModelPackage) {
  const { flavor, entry } = manifest
  const formatOf = (target: string) =>
    Effect.match(ModelFormat.recognise(target), {
      onFailure: () => undefined,
      onSuccess: ({ format }) => format,
    })
  const found = yield* formatOf(join(directory, entry))
  // A pickle is not read; its MLmodel says what is in it.
  if (found === undefined && flavor === "sklearn") return yield* formatOf(directory)
  const declared = Object.hasOwn(formats, flavor) ? formats[flavor] : undefined
  if (found === undefined || declared === undefined || declared.includes(found)) return found
  return yield* invalid(
    "flavor",
    `the package says that ${entry} is '${flavor}', its bytes are ${found}: write the package with the flavor of its file`,
  )
})

/** Registration in a store. */
export const make = (
  store: Store,
  { byKey }: Versions,
  insert: (draft: Draft) => Effect.Effect<VersionRow, Database.DatabaseError | RegistryError>,
): Register =>
  Effect.fnUntraced(function* (model: ModelSink.RegisterModel) {
    yield* Rules.name(model.name)
    yield* Rules.tags(model.tags ?? {})
    const read = yield* Effect.mapError(ModelPackage.read(model.directory), (error) =>
      invalid("directory", error.message),
    )
    const { manifest, directory } = read
    const key = model.key ?? `${model.runId ?? ""}:${manifest.digest}`
    const known = yield* byKey(model.name, key)
    if (known !== undefined) return known
    const format = yield* recognised(read)
    const expected = new Map(manifest.files.map((file) => [file.path, file.digest]))
    const files: Array<ModelPackage.PackageFile> = []
    for (const { path, file } of yield* Files.walk(directory, "")) {
      const stored = yield* Files.store(store, file)
      if (expected.has(path) && expected.get(path) !== stored.digest) {
        return yield* new RegistryError({
          reason: "Corrupt",
          field: path,
          message: `${path} of ${directory} is not what its manifest says: write the package again`,
        })
      }
      files.push({ path, ...stored })
    }
    return yield* store.db.transaction(
      insert({
        name: model.name,
        key,
        creates: true,
        run: model.runId ?? null,
        digest: manifest.digest,
        manifest,
        files,
        description: model.description ?? "",
        source: undefined,
        storage: undefined,
        runLink: null,
        loggedModel: null,
        format,
        fault: undefined,
        tags: model.tags ?? {},
      }),
    )
  })
