/**
 * A model as files: a directory with an `MLmodel` manifest that MLflow can read, and `ashlar.json`
 * with the model's signature and the digest of every file.
 *
 * @module
 */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import * as Digests from "./Digest.ts"
import { stagedPath, syncDirectory } from "./internal/atomicFile.ts"
import * as MLmodel from "./internal/mlmodel.ts"
import {
  descriptors,
  digestFile,
  failure,
  ioFailure,
  listFiles,
  ModelPackageError,
  pathFault,
  place,
  readDescriptor,
  resolveInside,
} from "./internal/packageFiles.ts"
import { isName } from "./Name.ts"
import * as Signatures from "./Signature.ts"
import * as Timestamps from "./Timestamp.ts"

export { ModelPackageError } from "./internal/packageFiles.ts"

/** One file of a package, with its path relative to the directory (`/` as separator). */
export const PackageFile = Schema.Struct({
  path: Schema.NonEmptyString,
  size: Schema.Int,
  digest: Digests.Digest,
})

/** One file of a package. */
export type PackageFile = typeof PackageFile.Type

/** Schema of a package's manifest. */
export const Manifest = Schema.Struct({
  /** Flavor that loads the model first, e.g. `onnx`. */
  flavor: Schema.NonEmptyString,
  /** Every flavor's own settings, as in MLmodel's `flavors`. */
  flavors: Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.Json)),
  /** File the flavor loads, relative to the directory. */
  entry: Schema.NonEmptyString,
  signature: Signatures.Signature,
  modelUuid: Schema.String,
  runId: Schema.optionalKey(Schema.String),
  created: Timestamps.Timestamp,
  metadata: Schema.optionalKey(Schema.Record(Schema.String, Schema.Json)),
  files: Schema.Array(PackageFile),
  /** Digest over the sorted file digests: the identity of the content. */
  digest: Digests.Digest,
})

/** What a package holds. */
export type Manifest = typeof Manifest.Type

/** A package on the local disk. */
export interface ModelPackage {
  readonly directory: string
  readonly manifest: Manifest
}

/** What {@link write} puts into a package. */
export interface WriteInput {
  readonly flavor: string
  readonly flavors?: Manifest["flavors"]
  readonly entry: string
  /** Content by path in the package: bytes, or `{ copy }` with the path of a file to copy. */
  readonly files: Readonly<Record<string, Uint8Array | { readonly copy: string }>>
  readonly signature: Signatures.Signature
  readonly runId?: string
  readonly metadata?: Manifest["metadata"]
  /** Instant of creation; default now. */
  readonly created?: Timestamps.Timestamp
  /** Default a new UUID without dashes, as MLflow makes them. */
  readonly modelUuid?: string
}

const limitBytes = 4 * 2 ** 20
const decodeParts = Schema.decodeUnknownEffect(Manifest.mapFields(Struct.omit(["files", "digest"])))

/** Identity of the content: paths and digests of the files, whatever their order. */
const digestOf = (files: ReadonlyArray<PackageFile>): Digests.Digest =>
  Digests.ofJson(
    files
      .map((file) => [file.path, file.digest] as const)
      .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
  )

const checkInput = (input: WriteInput): Effect.Effect<void, ModelPackageError> => {
  const names = Object.keys(input.files)
  for (const name of [input.flavor, ...Object.keys(input.flavors ?? {})]) {
    if (isName(name)) continue
    const message = `'${name}' is no flavor; a flavor is a name such as 'onnx' or 'python_function'`
    return Effect.fail(failure("InvalidInput", message, { field: "flavor" }))
  }
  for (const name of names) {
    const fault = pathFault(name)
    if (fault !== undefined) {
      return Effect.fail(failure("InvalidInput", `file '${name}': ${fault}`, { field: name }))
    }
    if (descriptors.some((taken) => taken.toLowerCase() === name.toLowerCase())) {
      const message = `file '${name}' is written by the package itself; choose another name`
      return Effect.fail(failure("InvalidInput", message, { field: name }))
    }
  }
  if (!names.includes(input.entry)) {
    const message = `the entry '${input.entry}' is not among the files ${names.map((n) => `'${n}'`).join(", ")}`
    return Effect.fail(failure("InvalidInput", message, { field: "entry" }))
  }
  return Effect.void
}

/**
 * Writes a package to a new directory, whole or not at all: everything is written beside it,
 * synced and renamed. Fails with `InvalidInput` (a path that leaves the package, an entry that is
 * not there), `AlreadyExists`, `NotFound` (a file to copy), `OutOfSpace`, `Unavailable`.
 */
export const write = Effect.fnUntraced(function* (
  directory: string,
  input: WriteInput,
): Effect.fn.Return<ModelPackage, ModelPackageError> {
  yield* checkInput(input)
  const mlflow = yield* Effect.mapError(Signatures.toMlflow(input.signature), (cause) =>
    failure("InvalidInput", cause.message, { field: "signature", cause }),
  )
  const flavors = MLmodel.flavorsOf(input.flavor, input.entry, input.flavors ?? {})
  const parts = yield* Effect.mapError(
    decodeParts({
      flavor: input.flavor,
      flavors,
      entry: input.entry,
      signature: input.signature,
      modelUuid: input.modelUuid ?? randomUUID().replaceAll("-", ""),
      ...(input.runId === undefined ? {} : { runId: input.runId }),
      created: input.created ?? Timestamps.now(),
      ...(input.metadata === undefined ? {} : { metadata: input.metadata }),
    }),
    (cause) =>
      failure("InvalidInput", `the package cannot be described: ${cause.message}`, { cause }),
  )
  const staged = stagedPath(path.resolve(directory))
  const body = async (signal: AbortSignal): Promise<Manifest> => {
    await fs.mkdir(staged)
    const files: Array<PackageFile> = []
    for (const [name, content] of Object.entries(input.files)) {
      signal.throwIfAborted()
      const target = path.join(staged, name)
      await place(target, content instanceof Uint8Array ? content : content.copy)
      files.push({ path: name, ...(await digestFile(target)) })
    }
    const manifest: Manifest = { ...parts, files, digest: digestOf(files) }
    const text = MLmodel.write({
      flavors,
      modelUuid: manifest.modelUuid,
      runId: manifest.runId,
      signature: mlflow,
      created: manifest.created,
      size: files.reduce((sum, file) => sum + file.size, 0),
      artifactPath: path.basename(path.resolve(directory)),
      metadata: manifest.metadata,
    })
    await place(path.join(staged, "MLmodel"), Buffer.from(text))
    await place(path.join(staged, "ashlar.json"), Buffer.from(JSON.stringify(manifest, null, 2)))
    await syncDirectory(staged)
    // A rename replaces an empty directory, so an existing one is refused before.
    const taken = await fs.lstat(directory).catch(() => undefined)
    if (taken !== undefined) {
      throw failure("AlreadyExists", `'${directory}' exists; write to a new directory`)
    }
    signal.throwIfAborted()
    await fs.rename(staged, directory)
    await syncDirectory(path.dirname(path.resolve(directory)))
    return manifest
  }
  let written: Promise<unknown> = Promise.resolve()
  const manifest = yield* Effect.tryPromise({
    try: (signal) => {
      const running = body(signal)
      written = running.catch(() => undefined)
      return running
    },
    catch: (cause) => ioFailure(directory, cause),
  }).pipe(
    // An interrupted writer ends at its next step; what it wrote until then is removed after that.
    Effect.ensuring(
      Effect.promise(async () => {
        await written
        await fs.rm(staged, { recursive: true, force: true })
      }),
    ),
  )
  return { directory, manifest }
})

const decodeManifest = Schema.decodeUnknownEffect(Schema.fromJsonString(Manifest))

const malformed = (directory: string, cause: Error) =>
  failure(
    "Corrupt",
    `ashlar.json in '${directory}' is malformed: ${cause.message}; write the package again`,
    { cause },
  )

/** The manifest of a directory that MLflow wrote, from its MLmodel; hashes every file. */
const foreign = Effect.fnUntraced(function* (
  directory: string,
  model: MLmodel.MLmodel,
): Effect.fn.Return<Manifest, ModelPackageError> {
  const names = Object.keys(model.flavors)
  const flavor = names.find((name) => name !== "python_function") ?? "python_function"
  const settings = model.flavors[flavor] ?? {}
  const entry = [
    ...["data", "model_path", "model_data", "pickled_model"].map((key) => settings[key]),
    // Flavors that name their file otherwise tell pyfunc.
    model.flavors["python_function"]?.["model_path"],
  ].find((value): value is string => typeof value === "string" && value !== "")
  if (entry === undefined) {
    const message = `MLmodel in '${directory}' does not say which file flavor '${flavor}' loads`
    return yield* failure("InvalidInput", message, { field: `flavors.${flavor}.data` })
  }
  if (model.signature === undefined || model.signature === null) {
    const message = `the model in '${directory}' has no signature; log it again with signature=infer_signature(...)`
    return yield* failure("InvalidInput", message, { field: "signature" })
  }
  const signature = yield* Effect.mapError(Signatures.fromMlflow(model.signature), (cause) =>
    failure("InvalidInput", cause.message, { field: "signature", cause }),
  )
  yield* Effect.tryPromise({
    try: () => resolveInside(directory, entry),
    catch: (cause) => ioFailure(path.join(directory, entry), cause),
  })
  const files = yield* Effect.tryPromise({
    try: async () => {
      const found: Array<PackageFile> = []
      for (const name of await listFiles(directory)) {
        found.push({ path: name, ...(await digestFile(await resolveInside(directory, name))) })
      }
      return found
    },
    catch: (cause) => ioFailure(directory, cause),
  })
  return {
    flavor,
    flavors: model.flavors,
    entry,
    signature,
    modelUuid: model.model_uuid ?? "",
    ...(model.run_id === undefined || model.run_id === null ? {} : { runId: model.run_id }),
    created: MLmodel.fromMlflowTime(model.utc_time_created ?? "") ?? 0,
    ...(model.metadata === undefined || model.metadata === null
      ? {}
      : { metadata: model.metadata }),
    files,
    digest: digestOf(files),
  }
})

/**
 * Reads the manifest of a package; the files themselves are checked by {@link verify}. A directory
 * that MLflow wrote is read from its MLmodel. Fails with `NotFound`, `InvalidInput` (a path or link
 * that leaves the package, no signature), `TooLarge` (a manifest over 4 MiB) or `Corrupt`.
 */
export const read = Effect.fnUntraced(function* (
  directory: string,
): Effect.fn.Return<ModelPackage, ModelPackageError> {
  const model = yield* Effect.flatMap(readDescriptor(directory, "MLmodel", limitBytes), (text) =>
    MLmodel.read(directory, text),
  )
  const text = yield* readDescriptor(directory, "ashlar.json", limitBytes).pipe(
    Effect.catchIf(
      (error) => error.reason === "NotFound",
      () => Effect.succeed(undefined),
    ),
  )
  if (text === undefined) return { directory, manifest: yield* foreign(directory, model) }
  const manifest = yield* Effect.mapError(decodeManifest(text), (e) => malformed(directory, e))
  for (const name of [manifest.entry, ...manifest.files.map((file) => file.path)]) {
    yield* Effect.tryPromise({
      try: () => resolveInside(directory, name),
      catch: (cause) => ioFailure(path.join(directory, name), cause),
    })
  }
  if (digestOf(manifest.files) !== manifest.digest) {
    const message = `ashlar.json in '${directory}' was changed: its digest is not that of its files; write the package again`
    return yield* failure("Corrupt", message, { field: "digest" })
  }
  return { directory, manifest }
})

/** Checks size and digest of every file; fails with `Corrupt` naming the first that differs. */
export const verify = Effect.fnUntraced(function* (
  model: ModelPackage,
): Effect.fn.Return<ModelPackage, ModelPackageError> {
  for (const file of model.manifest.files) {
    const actual = yield* Effect.tryPromise({
      try: async () => digestFile(await resolveInside(model.directory, file.path)),
      catch: (cause) => ioFailure(path.join(model.directory, file.path), cause),
    })
    if (actual.digest !== file.digest) {
      return yield* failure(
        "Corrupt",
        `'${file.path}' in '${model.directory}' has ${actual.digest} (${actual.size} bytes), its manifest says ${file.digest} (${file.size} bytes); fetch the model again`,
        { field: file.path },
      )
    }
  }
  return model
})
