/**
 * A blob's file on disk: its bytes, then a JSON trailer with digest and content type, then 12 bytes
 * that say how long the trailer is. Content and metadata so become visible in one rename.
 *
 * @module
 */
import type { FileHandle } from "node:fs/promises"
import * as Schema from "effect/Schema"
import type { BlobInfo } from "../../BlobStore.ts"
import { Digest } from "../../Digest.ts"
import { corrupt } from "./failure.ts"

const Trailer = Schema.Struct({
  v: Schema.Literal(1),
  key: Schema.String,
  size: Schema.Int,
  digest: Digest,
  contentType: Schema.optionalKey(Schema.String),
})

/** What a file says about itself. */
export type Trailer = typeof Trailer.Type

const decode = Schema.decodeUnknownSync(Schema.fromJsonString(Trailer))

const magic = Buffer.from("ashlarb1", "latin1")
const footBytes = 12
// One read of this size holds almost every trailer.
const guessBytes = 1024

/** The bytes that follow the content. */
export const encodeTrailer = (trailer: Omit<Trailer, "v">): Uint8Array => {
  const json = Buffer.from(JSON.stringify({ v: 1, ...trailer }), "utf8")
  const foot = Buffer.alloc(footBytes)
  foot.writeUInt32LE(json.length, 0)
  magic.copy(foot, 4)
  return Buffer.concat([json, foot])
}

const readExactly = async (file: FileHandle, position: number, length: number) => {
  const buffer = Buffer.allocUnsafe(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

/** Reads and checks the trailer of an open file. */
export const readInfo = async (
  file: FileHandle,
  key: string,
): Promise<BlobInfo & { readonly digest: Digest }> => {
  const stat = await file.stat({ bigint: true })
  const total = Number(stat.size)
  const tail = await readExactly(file, Math.max(0, total - guessBytes), Math.min(total, guessBytes))
  const foot = tail.subarray(-footBytes)
  if (foot.length < footBytes || !foot.subarray(4).equals(magic)) {
    throw corrupt(key, "the file does not end as this store writes it")
  }
  const length = foot.readUInt32LE(0)
  const size = total - footBytes - length
  if (size < 0 || length > 8192) throw corrupt(key, "its trailer has an impossible length")
  const json =
    length + footBytes <= tail.length
      ? tail.subarray(tail.length - footBytes - length, tail.length - footBytes)
      : await readExactly(file, size, length)
  let trailer: Trailer
  try {
    trailer = decode(json.toString("utf8"))
  } catch {
    throw corrupt(key, "its trailer is not what this store writes")
  }
  if (trailer.size !== size) {
    throw corrupt(key, `the file holds ${size} bytes of content, its trailer says ${trailer.size}`)
  }
  if (trailer.key !== key) throw corrupt(key, `the file belongs to key '${trailer.key}'`)
  return {
    key,
    size,
    modified: Number(stat.mtimeNs / 1000n),
    digest: trailer.digest,
    ...(trailer.contentType === undefined ? {} : { contentType: trailer.contentType }),
  }
}
