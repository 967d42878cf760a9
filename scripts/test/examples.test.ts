import { symlinkSync } from "node:fs"
import { join } from "node:path"
import { expect, it, vi } from "vitest"
import { step } from "../check/examples.ts"
import { root } from "../workspace.ts"
import { treeOf } from "./tree.ts"

// Each case starts a compiler and a test runner, on a machine that may be busy.
vi.setConfig({ testTimeout: 180_000 })

const configuration = {
  "package.json": { name: "tree", type: "module" },
  "tsconfig.test.json": {
    compilerOptions: {
      strict: true,
      module: "NodeNext",
      target: "ES2024",
      noEmit: true,
      types: ["node"],
      allowImportingTsExtensions: true,
    },
  },
  "vitest.config.ts": `export default { test: { include: [".ashlar/examples/*.test.ts"], passWithNoTests: true } }\n`,
}

const check = async (readme: string) => {
  const tree = treeOf({ ...configuration, "README.md": readme })
  symlinkSync(join(root, "node_modules"), join(tree, "node_modules"))
  return (await step.run(tree, { fix: false })).map(({ message }) => message).join("\n")
}

it("accepts examples that say what they give", async () => {
  expect(await check("```ts\nconst a: number = 1\na + 1 // => 2\n```\n")).toBe("")
})

it("rejects an example that does not compile, also one that does not run", async () => {
  const message = await check("```ts no-run\nconst a: string = 1\n```\n")
  expect(message).toContain("README.md example at line 1")
  expect(message).toContain("TS2322")
})

it("rejects an example that gives something else", async () => {
  const message = await check("Text.\n\n```ts\n[1, 2].map((n) => n * 2) // => [2, 5]\n```\n")
  expect(message).toContain("README.md:3")
  expect(message).toContain("expected [ 2, 4 ] to deeply equal [ 2, 5 ]")
})

it("rejects an example that throws", async () => {
  expect(await check("```ts\nJSON.parse('{')\n```\n")).toContain("SyntaxError")
})

it("does not run what says no-run", async () => {
  expect(await check("```ts no-run\nthrow new Error('ran')\n```\n")).toBe("")
})
