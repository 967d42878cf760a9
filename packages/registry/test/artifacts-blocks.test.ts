import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Blocks from "../src/internal/artifacts/blocks.ts"

const size = 2 * Blocks.blockBytes + 1234
const content = Buffer.alloc(size)
for (let i = 0; i < size; i += 4)
  content.writeUInt32LE((i * 2_654_435_761) % 2 ** 32, i % (size - 4))

const pieces = (bytes: Buffer, step: number) =>
  Array.from({ length: Math.ceil(bytes.length / step) }, (_, i) =>
    bytes.subarray(i * step, (i + 1) * step),
  )

const sumsOf = (step: number) => {
  const tally = Blocks.tally()
  for (const piece of pieces(content, step)) tally.add(piece)
  return tally.finish()
}

const read = (stored: Buffer, start: number, end: number, step: number, sums = sumsOf(size)) => {
  const around = Blocks.around(start, end, size)
  const source = Stream.fromIterable(pieces(stored.subarray(around.start, around.end), step))
  const cut = Blocks.cut(source, sums, { start, end, size }, (what) => what)
  return Effect.runSync(
    Effect.match(Stream.runCollect(cut), {
      onSuccess: (chunks) => Buffer.concat(chunks),
      onFailure: (what) => what,
    }),
  )
}

describe("blocks of a content", () => {
  it("have the same checksums however the content comes", () => {
    expect(sumsOf(size).length).toBe(12)
    for (const step of [7777, 65_536, Blocks.blockBytes, Blocks.blockBytes + 1]) {
      expect(Buffer.compare(sumsOf(step), sumsOf(size))).toBe(0)
    }
    expect(Blocks.tally().finish().length).toBe(0)
  })

  it("give every range, and none with a damaged byte in its blocks", () => {
    const at = fc.oneof(
      fc.integer({ min: 0, max: size }),
      fc.constantFrom(0, 1, Blocks.blockBytes - 1, Blocks.blockBytes, Blocks.blockBytes + 1, size),
    )
    const step = fc.constantFrom(50_000, 1 << 19, Blocks.blockBytes + 17)
    fc.assert(
      fc.property(at, at, at, step, (one, other, hit, by) => {
        const [start, end] = one < other ? [one, other] : [other, one]
        fc.pre(start < end)
        const sound = read(content, start, end, by)
        if (typeof sound === "string") throw new Error(sound)
        expect(Buffer.compare(sound, content.subarray(start, end))).toBe(0)
        fc.pre(hit < size)
        const damaged = Buffer.from(content)
        damaged[hit] = (damaged[hit] ?? 0) ^ 4
        const around = Blocks.around(start, end, size)
        const got = read(damaged, start, end, by)
        expect(typeof got).toBe(hit >= around.start && hit < around.end ? "string" : "object")
      }),
      { seed: 5, numRuns: 40 },
    )
  })

  it("are not trusted without a checksum", () => {
    expect(read(content, size - 5, size, 1 << 20, sumsOf(size).subarray(0, 8))).toContain("stored")
  })
})
