import {
  type BlobStore,
  type Database,
  ModelPackage,
  type ModelSink,
  Timestamp,
} from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Audit from "../Audit.ts"
import { invalid, RegistryError } from "../RegistryError.ts"
import * as Files from "./files.ts"
import * as Limits from "./limits.ts"
import type { VersionRow } from "./migrations.ts"
import type { Store } from "./store.ts"

/** Stores a package's files and adds a version; the same key adds one version. */
export type Register = (
  model: ModelSink.RegisterModel,
) => Effect.Effect<VersionRow, Database.DatabaseError | BlobStore.BlobStoreError | RegistryError>

/** Registration in a store. */
export const make = (
  store: Store,
  findByKey: (
    name: string,
    key: string,
  ) => Effect.Effect<VersionRow | undefined, Database.DatabaseError>,
): Register => {
  const { db, blobs, build } = store

  const addVersion = Effect.fnUntraced(function* (
    model: ModelSink.RegisterModel,
    key: string,
    manifest: ModelPackage.Manifest,
    files: ReadonlyArray<ModelPackage.PackageFile>,
  ) {
    yield* db.run(
      build
        .insertInto("registry_model")
        .values({
          name: model.name,
          created: Timestamp.now(),
          updated: Timestamp.now(),
          description: "",
          tags: "{}",
        })
        .onConflict((c) => c.column("name").doNothing()),
    )
    // Touching the model's row makes concurrent registrations of one model queue up.
    yield* db.run(
      build
        .updateTable("registry_model")
        .set({ updated: Timestamp.now() })
        .where("name", "=", model.name),
    )
    const known = yield* findByKey(model.name, key)
    if (known !== undefined) return known
    const newest = yield* db.first(
      build
        .selectFrom("registry_version")
        .select((select) => select.fn.max("version").as("version"))
        .where("model", "=", model.name),
    )
    const version: VersionRow = {
      model: model.name,
      version: (newest?.version ?? 0) + 1,
      key,
      run: model.runId ?? null,
      digest: manifest.digest,
      manifest: JSON.stringify(manifest),
      files: JSON.stringify(files),
      description: model.description ?? "",
      tags: JSON.stringify(model.tags ?? {}),
      created: Timestamp.now(),
    }
    yield* db.run(build.insertInto("registry_version").values(version))
    yield* Audit.append(store, {
      action: "model.registered",
      subject: model.name,
      detail: { version: version.version, digest: version.digest, run: version.run },
    })
    return version
  })

  const register = Effect.fnUntraced(function* (model: ModelSink.RegisterModel) {
    yield* Limits.name("name", model.name)
    const { manifest, directory } = yield* Effect.mapError(
      ModelPackage.read(model.directory),
      (error) => invalid("directory", error.message),
    )
    const key = model.key ?? `${model.runId ?? ""}:${manifest.digest}`
    const known = yield* findByKey(model.name, key)
    if (known !== undefined) return known
    const expected = new Map(manifest.files.map((file) => [file.path, file.digest]))
    const files: Array<ModelPackage.PackageFile> = []
    for (const { path, file } of yield* Files.walk(directory, "")) {
      const stored = yield* Files.store(blobs, file)
      if (expected.has(path) && expected.get(path) !== stored.digest) {
        return yield* new RegistryError({
          reason: "Corrupt",
          field: path,
          message: `${path} of ${directory} is not what its manifest says: write the package again`,
        })
      }
      files.push({ path, ...stored })
    }
    return yield* db.transaction(addVersion(model, key, manifest, files))
  })

  return register
}
