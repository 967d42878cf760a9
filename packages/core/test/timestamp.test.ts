import { Timestamp } from "@ashlar/core"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"

describe("Timestamp", () => {
  it("goes to ISO 8601 and back exactly, before 1970 too", () => {
    const micros = fc.integer({
      min: Date.UTC(1800, 0, 1) * 1000,
      max: Date.UTC(2255, 0, 1) * 1000,
    })
    fc.assert(
      fc.property(micros, (instant) => {
        expect(Timestamp.fromIso(Timestamp.toIso(instant))).toBe(instant)
      }),
    )
  })

  it.each([
    ["2001-01-13", Date.UTC(2001, 0, 13) * 1000],
    ["2001-01-13 12:30", Date.UTC(2001, 0, 13, 12, 30) * 1000],
    ["2001-01-13T12:30:01.5Z", Date.UTC(2001, 0, 13, 12, 30, 1) * 1000 + 500_000],
    ["2001-01-13T12:30:01.123456789+02:00", Date.UTC(2001, 0, 13, 10, 30, 1) * 1000 + 123_456],
    ["1969-12-31T23:59:59.999999Z", -1],
  ])("reads %s", (text, instant) => {
    expect(Timestamp.fromIso(text)).toBe(instant)
  })

  it.each([
    "",
    "13.1.2001",
    "2001-13-01",
    "2001-02-30",
    "2001-01-13T25:00",
    "2001-01-13T12:30:01.5Zjunk",
    "1e9",
  ])("refuses %j", (text) => {
    expect(Timestamp.fromIso(text)).toBeUndefined()
  })

  it("is a whole number", () => {
    const is = Schema.is(Timestamp.Timestamp)
    expect([0, -1, 2 ** 53, 0.5, Number.NaN].map((value) => is(value))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ])
    expect(Timestamp.toMillis(-1)).toBe(-1)
    expect(Timestamp.fromMillis(new Date(5))).toBe(5000)
  })
})
