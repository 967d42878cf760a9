import { Id } from "@ashlar/core"
import * as Schema from "effect/Schema"
import { describe, expect, it } from "vitest"

describe("Id", () => {
  it("is a UUID of version 7 with the time in front", () => {
    const future = Date.UTC(2100, 0, 1)
    const id = Id.make(future)
    expect(Schema.is(Id.Id)(id)).toBe(true)
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16)).toBe(future)
  })

  it("increases, also within one millisecond and when the clock goes back", () => {
    const now = Date.UTC(2101, 0, 1)
    const ids = Array.from({ length: 10_000 }, (_, i) => Id.make(now - (i % 3)))
    expect(ids).toEqual([...ids].sort())
    expect(new Set(ids).size).toBe(ids.length)
  })
})
