/**
 * Checksums of the blocks of a content, so that a part of a large one can be checked without the
 * rest. They find damage; that nobody exchanged the content is what its digest is for.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { crc32 } from "node:zlib"

/** Bytes of a block; the last one may have fewer. */
export const blockBytes = 4 << 20

/** Takes the checksums of content that passes by. */
export interface Tally {
  readonly add: (chunk: Uint8Array) => void
  /** CRC-32 of each block, little-endian. */
  readonly finish: () => Uint8Array
}

/** Starts a tally. */
export const tally = (): Tally => {
  const sums: Array<number> = []
  let sum = 0
  let filled = 0
  const close = () => {
    sums.push(sum)
    sum = 0
    filled = 0
  }
  return {
    add: (chunk) => {
      for (let from = 0; from < chunk.length;) {
        const part = chunk.subarray(from, from + blockBytes - filled)
        sum = crc32(part, sum)
        filled += part.length
        from += part.length
        if (filled === blockBytes) close()
      }
    },
    finish: () => {
      if (filled > 0) close()
      const bytes = Buffer.alloc(sums.length * 4)
      for (const [i, value] of sums.entries()) bytes.writeUInt32LE(value, i * 4)
      return bytes
    },
  }
}

/** The blocks that a range of a content touches: first byte, and one past the last. */
export const around = (
  start: number,
  end: number,
  size: number,
): { readonly start: number; readonly end: number } => ({
  start: start - (start % blockBytes),
  end: Math.min(Math.ceil(end / blockBytes) * blockBytes, size),
})

/**
 * A range of a content, out of a stream of the blocks {@link around} it. Each block is checked before
 * any of it is passed on; `damaged` is the error of one that is not what it was.
 */
export const cut = <E, D>(
  blocks: Stream.Stream<Uint8Array, E>,
  sums: Uint8Array,
  range: { readonly start: number; readonly end: number; readonly size: number },
  damaged: (what: string) => D,
): Stream.Stream<Uint8Array, E | D> =>
  Stream.suspend(() => {
    const { start, end, size } = range
    const view = new DataView(sums.buffer, sums.byteOffset, sums.byteLength)
    let at = around(start, end, size).start
    let held: Array<Uint8Array> = []
    let heldBytes = 0
    const take = (chunk: Uint8Array): Effect.Effect<ReadonlyArray<Uint8Array>, D> => {
      const ready: Array<Uint8Array> = []
      for (let from = 0; from < chunk.length;) {
        const length = Math.min(blockBytes, size - at)
        const part = chunk.subarray(from, from + length - heldBytes)
        held.push(part)
        heldBytes += part.length
        from += part.length
        if (heldBytes < length) continue
        const index = at / blockBytes
        const actual = held.reduce((sum, piece) => crc32(piece, sum), 0)
        if (index * 4 >= sums.length || view.getUint32(index * 4, true) !== actual) {
          return Effect.fail(damaged(`its bytes from ${at} on are not what was stored`))
        }
        for (const piece of held) {
          const wanted = piece.subarray(Math.max(0, start - at), Math.max(0, end - at))
          if (wanted.length > 0) ready.push(wanted)
          at += piece.length
        }
        held = []
        heldBytes = 0
      }
      return Effect.succeed(ready)
    }
    return Stream.flatMap(Stream.mapEffect(blocks, take), (pieces) => Stream.fromIterable(pieces))
  })
