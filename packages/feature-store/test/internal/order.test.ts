import * as fc from "fast-check"
import { expect, it } from "vitest"
import { identity, sortBy } from "../../src/internal/order.ts"

const expected = (keys: ReadonlyArray<number>) =>
  keys.map((_, i) => i).sort((a, b) => (keys[a] as number) - (keys[b] as number) || a - b)

it("sorts stably, small and large, over the whole range of safe integers", () => {
  const key = fc.oneof(fc.integer({ min: -9, max: 9 }), fc.maxSafeInteger())
  for (const [minLength, maxLength, numRuns] of [
    [0, 50, 300],
    [2048, 2300, 20],
  ] as const) {
    fc.assert(
      fc.property(fc.array(key, { minLength, maxLength, size: "max" }), (keys) => {
        // The range of a column is a safe integer too.
        const halved = keys.map((k) => Math.floor(k / 2))
        expect([...sortBy(identity(halved.length), halved)]).toEqual(expected(halved))
      }),
      { numRuns, seed: 5 },
    )
  }
})
