/**
 * Small trees for the tests of the checks.
 *
 * @module
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { onTestFinished } from "vitest"

/** Writes files (path to content; objects become JSON) into a new folder that goes after the test. */
export const treeOf = (files: Readonly<Record<string, string | object>>): string => {
  const tree = mkdtempSync(join(tmpdir(), "ashlar-tree-"))
  onTestFinished(() => rmSync(tree, { recursive: true }))
  for (const [path, content] of Object.entries(files)) {
    const file = join(tree, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content))
  }
  return tree
}

/** An `exports` entry for a source, as every package writes it. */
export const subpath = (name: string) => ({
  "@ashlar/source": `./src/${name}.ts`,
  types: `./dist/${name}.d.ts`,
  default: `./dist/${name}.js`,
})

/** A sound tree: core and one module that depends on it, with one error and one optional peer. */
export const sound = {
  "packages/core/package.json": {
    name: "@ashlar/core",
    exports: { ".": subpath("index") },
    peerDependencies: { effect: "*" },
  },
  "packages/core/src/index.ts": `export * as Failure from "./Failure.ts"\n`,
  "packages/core/src/Failure.ts": `/** Reasons. */\nexport const statusOf = { NotFound: 404, Timeout: 504 } as const\n`,
  "packages/store/package.json": {
    name: "@ashlar/store",
    exports: { ".": subpath("index"), "./redis": subpath("redis") },
    dependencies: { "@ashlar/core": "0.1.0" },
    peerDependencies: { effect: "*", ioredis: "^5" },
    peerDependenciesMeta: { ioredis: { optional: true } },
  },
  "packages/store/src/index.ts": `export * as Store from "./Store.ts"\n`,
  "packages/store/src/Store.ts": [
    `import { Failure } from "@ashlar/core"`,
    `import * as Schema from "effect/Schema"`,
    `/** The store failed. It says why. */`,
    `export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", Failure.fields(["NotFound", "Timeout"])) {}`,
    ``,
  ].join("\n"),
  "packages/store/src/redis.ts": `import { Redis } from "ioredis"\n/** Connects. */\nexport const connect = () => new Redis()\n`,
} as const
