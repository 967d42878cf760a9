/**
 * Content on its way to S3: counted, hashed, and handed on in parts of bounded size.
 *
 * @module
 */
import * as Digest from "../../Digest.ts"

/** A stream's bytes, gathered in parts of one size; the last may be smaller, and may be empty. */
export async function* inParts(
  source: AsyncIterable<Uint8Array>,
  partBytes: number,
): AsyncGenerator<Uint8Array> {
  let part = Buffer.allocUnsafe(partBytes)
  let filled = 0
  for await (let chunk of source) {
    while (filled + chunk.length >= partBytes) {
      const taken = partBytes - filled
      part.set(chunk.subarray(0, taken), filled)
      yield part
      chunk = chunk.subarray(taken)
      part = Buffer.allocUnsafe(partBytes)
      filled = 0
    }
    part.set(chunk, filled)
    filled += chunk.length
  }
  yield part.subarray(0, filled)
}

/** Size and digest of what passed. */
export interface Tally {
  readonly add: (chunk: Uint8Array) => void
  readonly finish: () => { readonly size: number; readonly digest: Digest.Digest }
}

/** Starts counting. */
export const tally = (): Tally => {
  const hash = Digest.start()
  let size = 0
  return {
    add: (chunk) => {
      hash.update(chunk)
      size += chunk.length
    },
    finish: () => ({ size, digest: Digest.finish(hash) }),
  }
}
