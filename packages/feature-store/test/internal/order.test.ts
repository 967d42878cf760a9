import * as fc from "fast-check"
import { expect, it } from "vitest"
import { groupBy, sorter } from "../../src/internal/order.ts"

const expected = (keys: ReadonlyArray<number>) =>
  keys.map((_, i) => i).sort((a, b) => (keys[a] as number) - (keys[b] as number) || a - b)

it("sorts stably, small and large, over the whole range of safe integers", () => {
  const key = fc.oneof(fc.integer({ min: -9, max: 9 }), fc.maxSafeInteger())
  for (const [minLength, maxLength, numRuns] of [
    [0, 50, 300],
    [49, 300, 100],
    [2048, 2300, 10],
  ] as const) {
    fc.assert(
      fc.property(fc.array(key, { minLength, maxLength, size: "max" }), (keys) => {
        // The range of a column is a safe integer too.
        const halved = keys.map((k) => Math.floor(k / 2))
        const rows = Uint32Array.from(halved, (_, i) => i)
        sorter().sort(rows, 0, rows.length, halved)
        expect([...rows]).toEqual(expected(halved))
      }),
      { numRuns, seed: 5 },
    )
  }
})

it("groups rows in their order and leaves out those without a group", () => {
  const { offsets, rows } = groupBy(Int32Array.of(1, -1, 0, 1, 2, 1), 3, (row) => row !== 4)
  expect([...rows]).toEqual([2, 0, 3, 5])
  expect([...offsets]).toEqual([0, 1, 4, 4])
})
