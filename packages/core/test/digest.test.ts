import { Digest } from "@ashlar/core"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"

describe("Digest", () => {
  it("is SHA-256 of bytes or of a string's UTF-8", () => {
    // FIPS 180-4's example.
    const abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    expect(Digest.of("abc")).toBe(abc)
    expect(Digest.of(Buffer.from("abc"))).toBe(abc)
    expect(Digest.finish(Digest.start().update("a").update("bc"))).toBe(abc)
  })

  it.each(["sha256:00", "BA7816", `sha256:${"A".repeat(64)}`, `md5:${"a".repeat(64)}`])(
    "refuses %j",
    (text) => {
      expect(Schema.is(Digest.Digest)(text)).toBe(false)
    },
  )

  it("of JSON does not depend on the order of keys", () => {
    const value = fc.dictionary(fc.string(), fc.jsonValue(), { noNullPrototype: true })
    fc.assert(
      fc.property(value, (object) => {
        const reversed = Object.fromEntries(Object.entries(object).toReversed())
        expect(Digest.ofJson(reversed)).toBe(Digest.ofJson(object))
        expect(JSON.parse(Digest.canonicalJson(object))).toEqual(JSON.parse(JSON.stringify(object)))
      }),
    )
  })

  it("writes numbers and strings as RFC 8785 does", () => {
    expect(Digest.canonicalJson({ b: [1e30, 4.5, 2e-3, 1e-27, -0], a: "€\n\u000f" })).toBe(
      '{"a":"€\\n\\u000f","b":[1e+30,4.5,0.002,1e-27,0]}',
    )
    expect(Digest.canonicalJson({ "\u{1f600}": 1, "\ufb33": 2, "\u20ac": 3 })).toBe(
      '{"€":3,"\u{1f600}":1,"\ufb33":2}',
    )
  })

  it("refuses what JSON cannot carry", () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 1n, () => 1]) {
      expect(() => Digest.canonicalJson({ value })).toThrow(TypeError)
    }
  })

  it("tells dates apart, and refuses what would lose its content", () => {
    const of = (time: number) => Digest.ofJson({ at: new Date(time) })
    expect(of(0)).not.toBe(of(1))
    expect(Digest.canonicalJson([new Date(0)])).toBe('["1970-01-01T00:00:00.000Z"]')
    for (const value of [new Map([[1, 2]]), new Set([1]), Uint8Array.of(1)]) {
      expect(() => Digest.canonicalJson({ value })).toThrow(TypeError)
    }
  })
})
