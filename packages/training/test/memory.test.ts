import { describe, expect, it } from "vitest"
import { boundariesOf } from "../src/internal/binning.ts"
import { layOut } from "../src/internal/gbdt-memory.ts"

describe("the memory map", () => {
  it("keeps arrays apart and aligned", () => {
    const map = layOut({ rows: 1001, validationRows: 77, features: 5, leaves: 31, threads: 3 })
    if ("tooLarge" in map) throw new Error("this fits")
    const { bytes, stride, histBytes, column: _, ...offsets } = map
    const starts = Object.values(offsets).sort((a, b) => a - b)
    expect(new Set(starts).size).toBe(starts.length)
    expect(starts.every((start) => start % 64 === 0 && start < bytes)).toBe(true)
    expect([stride, histBytes]).toEqual([8, 8 * 2048])
  })

  it("says how much is too much", () => {
    const sizes = { rows: 50_000_000, validationRows: 0, features: 100, leaves: 31, threads: 2 }
    const map = layOut(sizes)
    expect("tooLarge" in map && map.tooLarge).toBeGreaterThan(50_000_000 * 200)
  })
})

describe("bin boundaries", () => {
  const sorted = (values: ReadonlyArray<number>) => Float32Array.from(values).sort()

  it("separate few values, and share out many by count", () => {
    expect(Array.from(boundariesOf(sorted([1, 1, 2, 4]), 255, 1))).toEqual([1.5, 3])
    const many = boundariesOf(sorted(Array.from({ length: 10_000 }, (_, i) => i)), 10, 3)
    expect(many.length).toBe(9)
    const widths = Array.from(many, (bound, i) => bound - (many[i - 1] ?? 0))
    expect(Math.max(...widths) - Math.min(...widths)).toBeLessThan(20)
  })

  it("give a frequent value a bin of its own", () => {
    const values = [
      ...Array.from({ length: 5000 }, () => 0),
      ...Array.from({ length: 5000 }, (_, i) => i + 1),
    ]
    const bounds = boundariesOf(sorted(values), 16, 3)
    expect(bounds[0]).toBe(0.5)
    expect(bounds.length).toBeGreaterThan(12)
  })

  it("of nothing or one value are none", () => {
    expect(boundariesOf(new Float32Array(), 255, 3).length).toBe(0)
    expect(boundariesOf(sorted([7, 7, 7]), 255, 3).length).toBe(0)
  })
})
