/**
 * Uploads in parts on disk: a directory with a description and a file per part, so that an upload
 * goes on after a restart.
 *
 * @module
 */
import { createReadStream } from "node:fs"
import { readFile, realpath, rename, rm } from "node:fs/promises"
import { join } from "node:path"
import * as Schema from "effect/Schema"
import type { UploadedPart } from "../../BlobStore.ts"
import * as Digest from "../../Digest.ts"
import * as Id from "../../Id.ts"
import { partDiffers, uploadNotFound } from "./failure.ts"
import * as FileWriter from "./FileWriter.ts"
import { type Folder, makeDirectory } from "./Folder.ts"
import { isCode } from "./fsError.ts"

const Description = Schema.fromJsonString(
  Schema.Struct({ key: Schema.String, contentType: Schema.optionalKey(Schema.String) }),
)
const decode = Schema.decodeUnknownSync(Description)

const partName = (partNumber: number) => `part-${String(partNumber).padStart(5, "0")}`

const writeFile = async (folder: Folder, path: string, bytes: Uint8Array) => {
  const writer = await FileWriter.make(folder.temporary())
  try {
    await writer.write(bytes)
    const { digest } = await writer.flush()
    await writer.seal(new Uint8Array(0), folder.sync)
    await rename(writer.path, path)
    return digest
  } finally {
    await writer.dispose()
  }
}

/** Starts an upload. */
export const create = async (folder: Folder, key: string, contentType: string | undefined) => {
  const id = Id.make()
  const directory = join(folder.uploads, id)
  await makeDirectory(directory, folder.sync)
  const description = { key, ...(contentType === undefined ? {} : { contentType }) }
  await writeFile(folder, join(directory, "upload.json"), Buffer.from(JSON.stringify(description)))
  return id
}

/** An upload's directory and description; fails when there is none for this key. */
export const find = async (folder: Folder, key: string, id: string) => {
  const directory = join(folder.uploads, id)
  try {
    if ((await realpath(directory)) !== directory) throw uploadNotFound(id, key)
    const description = decode(await readFile(join(directory, "upload.json"), "utf8"))
    if (description.key !== key) throw uploadNotFound(id, key)
    return { directory, contentType: description.contentType }
  } catch (cause) {
    throw isCode(cause, "ENOENT", "ENOTDIR") ? uploadNotFound(id, key) : cause
  }
}

/** Stores a part. */
export const putPart = async (
  folder: Folder,
  key: string,
  id: string,
  partNumber: number,
  bytes: Uint8Array,
): Promise<UploadedPart> => {
  const { directory } = await find(folder, key, id)
  const etag = await writeFile(folder, join(directory, partName(partNumber)), bytes)
  return { partNumber, etag }
}

/** Feeds all parts to a writer, checking each against its etag. */
export const concatenate = async (
  directory: string,
  parts: ReadonlyArray<UploadedPart>,
  writer: FileWriter.FileWriter,
): Promise<void> => {
  for (const [index, part] of parts.entries()) {
    const hash = Digest.start()
    const source = createReadStream(join(directory, partName(part.partNumber)), {
      highWaterMark: 1 << 20,
    })
    try {
      for await (const chunk of source as AsyncIterable<Uint8Array>) {
        hash.update(chunk)
        await writer.write(chunk)
      }
    } catch (cause) {
      throw isCode(cause, "ENOENT") ? partDiffers(part.partNumber, index) : cause
    }
    if (Digest.finish(hash) !== part.etag) throw partDiffers(part.partNumber, index)
  }
}

/** Removes an upload and its parts. */
export const drop = (directory: string): Promise<void> =>
  rm(directory, { recursive: true, force: true })
