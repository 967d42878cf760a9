/**
 * OCI image layouts on disk: blobs by digest, an index, descriptors.
 * https://github.com/opencontainers/image-spec/blob/main/image-layout.md
 *
 * @module
 */
import { createHash } from "node:crypto"
import { constants, createReadStream } from "node:fs"
import { lstat, mkdir, open, readFile, rename, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import * as Schema from "effect/Schema"
import { invalid, RegistryError } from "../../RegistryError.ts"

const Sha256 = Schema.String.check(Schema.isPattern(/^sha256:[0-9a-f]{64}$/))

/** Schema of a reference to content. */
export const Descriptor = Schema.Struct({
  mediaType: Schema.NonEmptyString,
  digest: Sha256,
  size: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  annotations: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  artifactType: Schema.optionalKey(Schema.String),
})

/** A reference to content. */
export type Descriptor = typeof Descriptor.Type

/** Schema of an image manifest. */
export const Manifest = Schema.Struct({
  schemaVersion: Schema.Literal(2),
  mediaType: Schema.optionalKey(Schema.String),
  artifactType: Schema.optionalKey(Schema.String),
  config: Descriptor,
  layers: Schema.Array(Descriptor).check(
    Schema.makeFilter(
      (layers: ReadonlyArray<Descriptor>) =>
        layers.length <= 10_000 || "a manifest has at most 10000 layers",
    ),
  ),
  annotations: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
})

/** An image manifest. */
export type Manifest = typeof Manifest.Type

/** Schema of a layout's index. */
export const Index = Schema.Struct({
  schemaVersion: Schema.Literal(2),
  manifests: Schema.Array(Descriptor),
})

/** Media type of a manifest. */
export const manifestType = "application/vnd.oci.image.manifest.v1+json"

/** Documents are small; only layers are long. */
const longestDocument = 4 * 2 ** 20

/** Where a blob lies in a layout. */
export const blobPath = (layout: string, digest: string): string =>
  join(layout, "blobs", "sha256", digest.slice("sha256:".length))

const corrupt = (message: string, cause?: unknown) =>
  new RegistryError({
    reason: "Corrupt",
    message,
    ...(cause === undefined ? {} : { cause }),
  })

/** Writes a document under its digest. */
export const putDocument = async (
  layout: string,
  mediaType: string,
  document: unknown,
): Promise<Descriptor> => {
  const bytes = Buffer.from(JSON.stringify(document))
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`
  await writeWhole(blobPath(layout, digest), bytes)
  return { mediaType, digest, size: bytes.length }
}

/** Writes a small file and syncs it. */
export const writeWhole = async (path: string, bytes: Uint8Array | string): Promise<void> => {
  const file = await open(path, "w")
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Copies a file while it is digested; fails and leaves nothing when the digest is another. */
export const copyChecked = async (
  from: AsyncIterable<Uint8Array>,
  to: string,
  expected: { readonly digest: string; readonly size?: number },
  what: string,
): Promise<void> => {
  await mkdir(dirname(to), { recursive: true })
  const file = await open(to, "wx")
  const hash = createHash("sha256")
  let size = 0
  let good = false
  try {
    for await (const chunk of from) {
      size += chunk.length
      if (expected.size !== undefined && size > expected.size) break
      hash.update(chunk)
      await file.writeFile(chunk)
    }
    const digest = `sha256:${hash.digest("hex")}`
    if (digest !== expected.digest || (expected.size !== undefined && size !== expected.size)) {
      throw corrupt(`${what} does not have its digest ${expected.digest}: it was changed or cut`)
    }
    await file.sync()
    good = true
  } finally {
    await file.close()
    if (!good) await rm(to, { force: true })
  }
}

/** Reads a regular file as a stream; a link or a pipe is refused. */
export const readRegular = async (path: string, what: string): Promise<AsyncIterable<Buffer>> => {
  const stat = await lstat(path).catch((cause: unknown) => {
    throw corrupt(`${what} is missing at ${path}`, cause)
  })
  if (!stat.isFile()) throw corrupt(`${what} at ${path} is no regular file`)
  return createReadStream(path, { flags: constants.O_RDONLY | constants.O_NOFOLLOW } as never)
}

/** Reads a document of a layout, checked against its digest when there is one. */
export const readDocument = async <A>(
  path: string,
  what: string,
  decode: (value: unknown) => A,
  digest?: string,
): Promise<A> => {
  const stat = await lstat(path).catch((cause: unknown) => {
    throw corrupt(`${what} is missing at ${path}`, cause)
  })
  if (!stat.isFile()) throw corrupt(`${what} at ${path} is no regular file`)
  if (stat.size > longestDocument) {
    throw invalid("layout", `${what} has ${stat.size} bytes; ${longestDocument} are read at most`)
  }
  const bytes = await readFile(path)
  if (digest !== undefined) {
    const found = `sha256:${createHash("sha256").update(bytes).digest("hex")}`
    if (found !== digest) throw corrupt(`${what} does not have its digest ${digest}`)
  }
  try {
    return decode(JSON.parse(bytes.toString("utf8")))
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : "unknown"
    throw corrupt(`${what} at ${path} is not what it must be: ${why}`, cause)
  }
}

/** Makes a directory whole or not at all: beside it first, then by one rename. */
export const staged = async <A>(
  directory: string,
  build: (staging: string) => Promise<A>,
): Promise<A> => {
  const there = await lstat(directory).catch(() => undefined)
  if (there !== undefined) {
    throw new RegistryError({
      reason: "AlreadyExists",
      field: "directory",
      message: `${directory} is there already: name a new directory`,
    })
  }
  const staging = `${directory}.${process.pid}.${Date.now()}.part`
  try {
    await mkdir(staging, { recursive: true })
    const result = await build(staging)
    await rename(staging, directory)
    return result
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
}
