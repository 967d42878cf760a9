import { ModelRef } from "@ashlar/core"
import * as fc from "fast-check"
import { expect, it } from "vitest"

const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,20}$/)

it("a model reference is read back as it was written", () => {
  const ref = fc.oneof(
    fc.record({ name }),
    fc.record({ name, version: fc.nat({ max: 999_999_999 }) }),
    fc.record({ name, alias: name }),
  )
  fc.assert(
    fc.property(ref, (value) => {
      expect(ModelRef.parse(ModelRef.format(value))).toEqual(value)
    }),
  )
})

it.each([
  "",
  "models:/",
  "models://a",
  "models:/a/b",
  "models:/a/1/2",
  "models:/a@",
  "models:/a@b@c",
  "models:/../x",
  "models:/a/-1",
  "models:/a/1234567890",
  "runs:/a/model",
  "models:/a b",
])("%j is no model reference", (text) => {
  expect(ModelRef.parse(text)).toBeUndefined()
})
