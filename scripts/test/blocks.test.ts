import { expect, it } from "vitest"
import { blocksOf, moduleOf } from "../check/blocks.ts"

const one = (code: string) => moduleOf({ file: "a.md", line: 1, code, run: true })

it("finds the ts blocks of Markdown, and which of them run", () => {
  const text = "# A\n```ts\nf()\n```\n```sh\nnpm test\n```\n```ts no-run\ng()\n```\n"
  expect(blocksOf("a.md", text)).toEqual([
    { file: "a.md", line: 2, code: "f()\n", run: true },
    { file: "a.md", line: 8, code: "g()\n", run: false },
  ])
})

it("finds blocks in JSDoc only, without the stars", () => {
  const text =
    "// ```ts\n// no\n// ```\n/**\n * A.\n *\n * ```ts\n * if (a) {\n *   f()\n * }\n * ```\n */\nexport const a = 1\n"
  expect(blocksOf("a.ts", text)).toEqual([
    { file: "a.ts", line: 7, code: "if (a) {\n  f()\n}\n", run: true },
  ])
})

it.each([
  ["a + 1 // => 2\n", "expectExample(a + 1).toEqual(2)"],
  [
    "await f({\n  a: 1,\n}) // => { b: [1] }\n",
    "expectExample(await f({\n  a: 1,\n})).toEqual({ b: [1] })",
  ],
  ["const x = f() // => 3\n", "const x = f();expectExample(x).toEqual(3)"],
  ["f()\n// => null\n", "expectExample(f()).toEqual(null)"],
  ["console.log(x) // => 1\n", "expectExample(x).toEqual(1)"],
  ["if (a) {\n  a.b // => 1\n}\n", "  ;expectExample(a.b).toEqual(1)"],
])("asserts %j", (code, assertion) => {
  const made = one(code)
  expect(made.assertions).toBe(1)
  expect(made.code).toContain(assertion)
})

it("leaves comments and other code alone", () => {
  const code = "// what it does => nothing\nf() // a note\n"
  expect(one(code)).toEqual({ code: `${code}export {}\n`, assertions: 0 })
})
