import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { cycles } from "../check/cycles.ts"
import { edges } from "../check/edges.ts"
import { errors } from "../check/errors.ts"
import { exports } from "../check/exports.ts"
import { length } from "../check/length.ts"
import { patterns } from "../check/patterns.ts"
import { peers } from "../check/peers.ts"
import { type Problem, render } from "../check/problem.ts"
import { sound, subpath, treeOf } from "./tree.ts"

type Check = (tree: string) => ReadonlyArray<Problem>

/** What a check says about the sound tree with some files replaced. */
const findings = (check: Check, files: Readonly<Record<string, string | object>>) => {
  const tree = treeOf({ ...sound, ...files })
  return check(tree).map((problem) => render(tree, problem))
}

const errorsOnce: Check = (tree) => {
  errors(tree, { fix: true })
  return errors(tree, { fix: false })
}

describe("the sound tree", () => {
  const checks = { edges, cycles, peers, length, patterns, errors: errorsOnce, exports }
  it.each(Object.entries(checks))("passes %s", (_, check) => {
    expect(findings(check, {})).toEqual([])
  })
})

describe("edges", () => {
  it("rejects a module that imports another module", () => {
    expect(
      findings(edges, {
        "packages/train/package.json": {
          name: "@ashlar/train",
          dependencies: { "@ashlar/store": "*" },
        },
        "packages/train/src/index.ts": `import type { Store } from "@ashlar/store"\n`,
      }),
    ).toEqual([
      "packages/train/package.json @ashlar/train may depend on @ashlar/core alone, not on @ashlar/store: use a port in core",
      "packages/train/src/index.ts:1 @ashlar/train may import @ashlar/core alone, not @ashlar/store: use a port in core",
    ])
  })
  it("rejects core importing a module, also at run time", () => {
    expect(
      findings(edges, { "packages/core/src/a.ts": `await import("@ashlar/store")\n` }),
    ).toHaveLength(1)
  })
  it("rejects a relative path into another package", () => {
    expect(
      findings(edges, { "packages/store/src/a.ts": `export * from "../../core/src/Failure.ts"\n` }),
    ).toEqual([
      "packages/store/src/a.ts:1 ../../core/src/Failure.ts leaves the package: import what the other package exports",
    ])
  })
})

describe("cycles", () => {
  const c = `export const c = 1\nimport { a } from "./a.ts"\nexport const d = a\n`
  it("rejects a cycle and shows it", () => {
    expect(
      findings(cycles, {
        "packages/store/src/a.ts": `import { b } from "./b.ts"\nexport const a = b\n`,
        "packages/store/src/b.ts": `export { c as b } from "./c.ts"\n`,
        "packages/store/src/c.ts": c,
      }),
    ).toEqual([
      "packages/store/src/a.ts imports itself: packages/store/src/a.ts -> packages/store/src/b.ts -> packages/store/src/c.ts -> packages/store/src/a.ts",
    ])
  })
  it("accepts types both ways", () => {
    expect(
      findings(cycles, {
        "packages/store/src/a.ts": `import type { C } from "./c.ts"\nexport const a: C = 1\n`,
        "packages/store/src/c.ts": `import { a } from "./a.ts"\nexport type C = number\nexport const d = a\n`,
      }),
    ).toEqual([])
  })
})

describe("peers", () => {
  it("rejects an import that no manifest declares", () => {
    expect(
      findings(peers, {
        "packages/store/src/nats.ts": `import { connect } from "@nats-io/core/x"\n`,
      }),
    ).toEqual([
      "packages/store/src/nats.ts:1 @nats-io/core is not declared: add it to @ashlar/store's package.json",
    ])
  })
  it("rejects an optional peer in a file about a noun, also as a type", () => {
    expect(
      findings(peers, { "packages/store/src/Cache.ts": `import type { Redis } from "ioredis"\n` }),
    ).toEqual([
      "packages/store/src/Cache.ts:1 ioredis is an optional peer: import it only in the file of its technology",
    ])
  })
  it("accepts an optional peer in an internal file that only its technology reaches", () => {
    expect(
      findings(peers, {
        "packages/store/src/internal/Pool.ts": `import { Redis } from "ioredis"\nexport const a = Redis\n`,
      }),
    ).toEqual([])
  })
  it("rejects an index that reaches an optional peer", () => {
    expect(
      findings(peers, { "packages/store/src/index.ts": `export * as redis from "./redis.ts"\n` }),
    ).toEqual([
      "packages/store/src/index.ts reaches the optional peer ioredis: src/index.ts -> src/redis.ts -> ioredis",
    ])
  })
})

describe("length", () => {
  it("rejects a file of 401 lines and accepts one of 400", () => {
    expect(
      findings(length, {
        "packages/store/src/long.ts": "// a line\n".repeat(401),
        "packages/store/src/fits.ts": "// a line\n".repeat(400),
        "packages/store/test/cases.test.ts": "// a line\n".repeat(401),
        "packages/store/src/utils.ts": "",
      }),
    ).toEqual([
      "packages/store/src/long.ts has 401 lines, the limit is 400: split it by noun",
      "packages/store/src/utils.ts is named after nothing: name it after its noun",
    ])
  })
})

describe("patterns", () => {
  it.each([
    ["export default 1", "default export"],
    ["export default function f() {}", "default export"],
    ["export enum Color { Red }", "enum"],
    ["namespace N { export const a = 1 }", "namespace"],
    ["export const f = (x: any) => x", "any"],
    [`it.${"only"}("x", () => {})`, "focused test"],
    [`describe.${"skip"}("x", () => {})`, "skip"],
    [`// ${"TO" + "DO"} later`, "unfinished"],
    [`// @ts-${"ignore"}`, "silenced compiler error"],
  ])("rejects %s", (text, message) => {
    const found = findings(patterns, { "packages/store/src/a.ts": `\n${text}\n` })
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(new RegExp(`^packages/store/src/a.ts:2 ${message}`))
  })
  it("accepts the words inside names and strings, and a skip with a condition", () => {
    const text = `const company = "any enum"\nit.skipIf(!process.env.X)("x", () => company)\n`
    expect(findings(patterns, { "packages/store/src/a.ts": text })).toEqual([])
  })
})

describe("errors", () => {
  it("writes a table of codes with their status", () => {
    const tree = treeOf(sound)
    expect(errors(tree, { fix: false })).toHaveLength(1)
    errors(tree, { fix: true })
    const text = readFileSync(join(tree, "docs/errors.md"), "utf8")
    expect(text).toContain("## @ashlar/store\n")
    expect(text).toContain("| `StoreError.NotFound` | 404 | The store failed. |\n")
    expect(text).toContain("| `StoreError.Timeout` | 504 | The store failed. |\n")
  })
  it("rejects a table that misses a code", () => {
    const tree = treeOf({ ...sound, "docs/errors.md": "# Errors\n" })
    expect(errors(tree, { fix: false })).toHaveLength(1)
  })
  const error = (tag: string, reasons: string) =>
    `export class AError extends Schema.TaggedError<AError>()("${tag}", ${reasons}) {}\n`
  it.each([
    [
      error("AError", `Failure.fields(["Tired"])`),
      "AError.Tired: Tired is not in Failure.statusOf",
    ],
    [
      error("AError", `Failure.fields(reasons)`),
      `AError: write its reasons as Failure.fields(["…"])`,
    ],
    [error("Other", `Failure.fields(["NotFound"])`), "an error's tag is the name of its class"],
  ])("rejects %s", (text, message) => {
    expect(findings(errorsOnce, { "packages/store/src/a.ts": text })).toEqual([
      `packages/store/src/a.ts:1 ${message}`,
    ])
  })
  it("rejects a tag used twice", () => {
    const text = error("AError", `Failure.fields(["NotFound"])`)
    expect(
      findings(errorsOnce, { "packages/core/src/a.ts": text, "packages/store/src/b.ts": text }),
    ).toEqual([
      "packages/store/src/b.ts:1 AError is declared in @ashlar/core too: codes are unique",
    ])
  })
})

describe("exports", () => {
  it("rejects an undocumented export, wherever it comes from", () => {
    expect(
      findings(exports, {
        "packages/store/src/Store.ts": `export { a } from "./internal/a.ts"\nexport type T = 1\nconst u = 1\nexport { u }\n`,
        "packages/store/src/internal/a.ts": `export const a = 1\nexport const hidden = 2\n`,
      }),
    ).toEqual([
      "packages/store/src/Store.ts:2 T is exported and has no JSDoc",
      "packages/store/src/internal/a.ts:1 a is exported and has no JSDoc",
      "packages/store/src/Store.ts:3 u is exported and has no JSDoc",
    ])
  })
  it("accepts a type documented by the value of its name", () => {
    const text = `/** Both. */\nexport const A = 1\nexport type A = 1\n`
    expect(findings(exports, { "packages/store/src/Store.ts": text })).toEqual([])
  })
  it("rejects a subpath with missing conditions, targets that differ, and a missing source", () => {
    const manifest = sound["packages/store/package.json"]
    const entries = {
      ".": { default: "./dist/index.js" },
      "./redis": { ...subpath("redis"), default: "./dist/other.js" },
      "./gone": subpath("gone"),
    }
    expect(
      findings(exports, { "packages/store/package.json": { ...manifest, exports: entries } }),
    ).toEqual([
      `packages/store/package.json exports["."] needs the conditions @ashlar/source, types, default, in this order`,
      `packages/store/package.json exports["./redis"] should be ./src/redis.ts, ./dist/redis.d.ts, ./dist/redis.js`,
      `packages/store/package.json exports["./gone"]: ./src/gone.ts does not exist`,
    ])
  })
  it("rejects an index that does more than name modules", () => {
    expect(
      findings(exports, { "packages/store/src/index.ts": `export * from "./Store.ts"\n` }),
    ).toEqual([
      `packages/store/src/index.ts:1 an index holds only export * as Noun from "./Noun.ts"`,
    ])
  })
  it("rejects a package that builds a kernel and does not publish it", () => {
    const kernel = { entry: "kernel/index.ts", out: "dist-kernel/kernel.wasm" }
    expect(findings(exports, { "packages/store/kernel/build.json": kernel })).toEqual([
      "packages/store/package.json files leaves out dist-kernel/kernel.wasm: add its folder",
    ])
  })
})
