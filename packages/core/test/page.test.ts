import { Page } from "@ashlar/core"
import * as fc from "fast-check"
import { expect, it } from "vitest"

it("a page token keeps its position", () => {
  const part = fc.oneof(fc.string(), fc.integer(), fc.constant(null))
  fc.assert(
    fc.property(fc.array(part, { maxLength: 16 }), (position) => {
      const token = Page.encodeToken(position)
      expect(token).toMatch(/^[A-Za-z0-9_-]*$/)
      expect(Page.decodeToken(token)).toEqual(position)
    }),
  )
})

it("a forged page token is refused and never throws", () => {
  for (const value of [
    { a: 1 },
    [[1]],
    [true],
    "x",
    1,
    null,
    Array.from({ length: 17 }, () => 0),
  ]) {
    const forged = Buffer.from(JSON.stringify(value)).toString("base64url")
    expect(Page.decodeToken(forged)).toBeUndefined()
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      const position = Page.decodeToken(text)
      expect(position === undefined || Array.isArray(position)).toBe(true)
    }),
  )
})
