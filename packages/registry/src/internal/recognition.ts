import { type BlobStore, type Database, Digest, ModelPackage } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as ModelFormat from "../ModelFormat.ts"
import { RegistryError } from "../RegistryError.ts"
import * as Mlmodel from "./formats/mlmodel.ts"
import { pathFault } from "./formats/source.ts"
import type { StoredFiles } from "./stored-files.ts"

type Failure = Database.DatabaseError | BlobStore.BlobStoreError | RegistryError
type PackageFile = ModelPackage.PackageFile

/** What is known of a version's files. */
export interface Recognition {
  readonly format?: ModelFormat.Format
  /** Where the version can be served. */
  readonly manifest?: ModelPackage.Manifest
  /** Why it cannot. */
  readonly fault?: string
}

/** Most files of a model, and most bytes of one that is read for its header. */
const limits = { files: 10_000, bytes: 2 ** 31 } as const

const io = <A>(run: () => Promise<A>): Effect.Effect<A, RegistryError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) =>
      new RegistryError({
        reason: "Unavailable",
        message: `a directory for the model's header cannot be written: ${String(cause)}; free space in ${tmpdir()}`,
        cause,
      }),
  })

/** The file whose header says what the model is, where there is no MLmodel. */
const headOf = (files: ReadonlyArray<PackageFile>): PackageFile | undefined => {
  const top = files.filter((file) => !file.path.includes("/"))
  const models = top.filter((file) =>
    /\.(onnx|safetensors|ubj|pmml|keras|pt|pth)$/i.test(file.path),
  )
  return (
    top.find((file) => file.path === "MLmodel") ??
    top.find((file) => file.path === "model.json") ??
    (models.length === 1 ? models[0] : files.length === 1 ? files[0] : undefined)
  )
}

/** Identity of the content, as packages have it: the descriptors are not part of it. */
const digestOf = (files: ReadonlyArray<PackageFile>): Digest.Digest =>
  Digest.ofJson(
    files
      .map((file) => [file.path, file.digest] as const)
      .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
  )

const content = (files: ReadonlyArray<PackageFile>): ReadonlyArray<PackageFile> =>
  files.filter((file) => file.path !== "MLmodel" && file.path !== "ashlar.json")

const decode = Schema.decodeUnknownOption(ModelPackage.Manifest)

/** A message without the directory that the files were in for a moment. */
const shown = (message: string, directory: string): string =>
  message.replaceAll(`'${directory}': `, "").replaceAll(`${directory}/`, "").slice(0, 2000)

/** Reads what models are from the headers of their stored files. */
export const make = ({ read }: StoredFiles) => {
  /** The directory as it was, with the bytes of one file; the others have their sizes alone. */
  const laid = Effect.fnUntraced(function* (
    directory: string,
    files: ReadonlyArray<PackageFile>,
    head: PackageFile,
  ) {
    for (const file of files) {
      const target = path.join(directory, file.path)
      yield* io(() => fs.mkdir(path.dirname(target), { recursive: true }))
      if (file === head) yield* written(target, file)
      else yield* io(() => fs.writeFile(target, "").then(() => fs.truncate(target, file.size)))
    }
  })

  const written = Effect.fnUntraced(function* (target: string, file: PackageFile) {
    const handle = yield* io(() => fs.open(target, "w"))
    yield* Effect.ensuring(
      Stream.runForEach(read(file), (chunk) => io(() => handle.writeFile(chunk))),
      Effect.promise(() => handle.close()),
    )
  })

  const manifestOf = (
    files: ReadonlyArray<PackageFile>,
    found: ModelFormat.Recognised,
    head: PackageFile,
    declared: Mlmodel.Declared | undefined,
  ): Recognition => {
    const { format, signature } = found
    if (signature === undefined) {
      const fault = "the model has no signature: log it again with signature=infer_signature(...)"
      return { format, fault }
    }
    const held = content(files)
    const flavor = declared?.flavor ?? format
    const entry = declared === undefined ? head.path : declared.entry
    const manifest = decode({
      flavor,
      flavors: declared?.flavors ?? { [flavor]: { data: entry } },
      entry,
      signature,
      modelUuid: declared?.modelUuid ?? "",
      ...(declared?.runId === undefined ? {} : { runId: declared.runId }),
      created: declared?.created ?? 0,
      ...(declared?.metadata === undefined ? {} : { metadata: declared.metadata }),
      files: held,
      digest: digestOf(held),
    })
    if (manifest._tag === "Some" && entry !== "") return { format, manifest: manifest.value }
    return { format, fault: `the MLmodel does not say which file the flavor '${flavor}' loads` }
  }

  const inside = Effect.fnUntraced(function* (
    directory: string,
    files: ReadonlyArray<PackageFile>,
    head: PackageFile,
  ): Effect.fn.Return<Recognition, Failure | ModelFormat.ModelFormatError> {
    yield* laid(directory, files, head)
    if (head.path !== "MLmodel") {
      const found = yield* ModelFormat.recognise(path.join(directory, head.path))
      return manifestOf(files, found, head, undefined)
    }
    const found = yield* ModelFormat.recognise(directory)
    const declared = yield* Effect.promise(() => Mlmodel.declared(directory))
    const entry = files.find((file) => file.path === declared.entry)
    if (found.signature !== undefined || entry === undefined || entry.size > limits.bytes) {
      return manifestOf(files, found, head, declared)
    }
    // The file itself may say what the MLmodel does not.
    const target = path.join(directory, entry.path)
    yield* written(target, entry)
    const inner = yield* Effect.option(ModelFormat.recognise(target))
    const signature = inner._tag === "Some" ? inner.value.signature : undefined
    return manifestOf(
      files,
      signature === undefined ? found : { ...found, signature },
      head,
      declared,
    )
  })

  /**
   * What stored files are. A model that cannot be read is one that cannot be served, and no error:
   * the fault says why.
   */
  return Effect.fnUntraced(function* (
    files: ReadonlyArray<PackageFile>,
  ): Effect.fn.Return<Recognition, Failure> {
    const bad = files.find((file) => pathFault(file.path) !== undefined)
    if (bad !== undefined) {
      return { fault: `its path ${JSON.stringify(bad.path.slice(0, 200))} ${pathFault(bad.path)}` }
    }
    if (files.length > limits.files) return { fault: `it has more than ${limits.files} files` }
    const head = headOf(files)
    if (head === undefined) {
      return { fault: "its directory has neither an MLmodel nor exactly one model file" }
    }
    if (head.size > limits.bytes) {
      return { fault: `${head.path} has more than the ${limits.bytes} bytes that are read` }
    }
    return yield* Effect.acquireUseRelease(
      io(() => fs.mkdtemp(path.join(tmpdir(), "ashlar-model-"))),
      (directory) =>
        Effect.catchTag(inside(directory, files, head), "ModelFormatError", (error) =>
          Effect.succeed({ fault: shown(error.message, directory) }),
        ),
      (directory) => Effect.promise(() => fs.rm(directory, { recursive: true, force: true })),
    )
  })
}
