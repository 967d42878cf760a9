import { readFileSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { expect, it, vi } from "vitest"
import { packages, tarballs } from "../check/tarballs.ts"
import { root } from "../workspace.ts"
import { subpath, treeOf } from "./tree.ts"

// Three compilers, two of them slow, on a machine that may be busy.
vi.setConfig({ testTimeout: 300_000 })

const manifest = {
  name: "@ashlar/one",
  version: "1.0.0",
  license: "Apache-2.0",
  type: "module",
  sideEffects: false,
  files: ["src", "dist"],
  exports: {
    "./package.json": "./package.json",
    ".": subpath("index"),
    "./technology": subpath("technology"),
  },
  peerDependencies: { kysely: "*" },
  peerDependenciesMeta: { kysely: { optional: true } },
}

const files = {
  "package.json": { private: true, type: "module" },
  "tsconfig.base.json": readFileSync(join(root, "tsconfig.base.json"), "utf8"),
  "packages/one/package.json": manifest,
  "packages/one/README.md": "# one\n",
  "packages/one/LICENSE": "Apache-2.0\n",
  "packages/one/tsconfig.json": {
    extends: "../../tsconfig.base.json",
    compilerOptions: { rootDir: "src", outDir: "dist", tsBuildInfoFile: "dist/.tsbuildinfo" },
    include: ["src"],
  },
  "packages/one/src/index.ts": `export * as One from "./One.ts"\n`,
  "packages/one/src/One.ts": `export const one: number = 1\n`,
  "packages/one/src/technology.ts": `import { sql } from "kysely"\nexport const query: unknown = sql\n`,
}

const messages = async (
  step: typeof packages,
  changes: Readonly<Record<string, string | object>>,
) => {
  const tree = treeOf({ ...files, ...changes })
  symlinkSync(join(root, "node_modules"), join(tree, "node_modules"))
  return (await step.run(tree, { fix: false })).map(({ message }) => message)
}

it("passes a sound package", async () => {
  expect(await messages(packages, {})).toEqual([])
  expect(await messages(tarballs, {})).toEqual([])
})

it("packages: rejects a tarball without the files that it exports", async () => {
  const found = await messages(packages, {
    "packages/one/package.json": { ...manifest, files: ["src"] },
  })
  expect(found.join("\n")).toMatch(/publint: .*dist\/index\.js/)
  expect(found.join("\n")).toMatch(/attw:/)
})

it("packages: rejects a package without a licence", async () => {
  const { "packages/one/LICENSE": _, ...unlicensed } = files
  const tree = treeOf(unlicensed)
  symlinkSync(join(root, "node_modules"), join(tree, "node_modules"))
  const found = await packages.run(tree, { fix: false })
  expect(found.map(({ message }) => message)).toEqual(["has no LICENSE to publish"])
})

it("tarballs: rejects a root that needs an optional peer", async () => {
  const found = await messages(tarballs, {
    "packages/one/src/One.ts": `export { query } from "./technology.ts"\n`,
  })
  expect(found).toEqual([
    expect.stringMatching(/^@ashlar\/one does not load: Cannot find package 'kysely'/),
  ])
})

it("tarballs: rejects declarations that a user's compiler cannot read", async () => {
  const found = await messages(tarballs, {
    "packages/one/src/One.ts": `import type { Gone } from "gone"\nexport const one = (a: Gone): Gone => a\n`,
    "packages/one/src/gone.d.ts": `declare module "gone" { export interface Gone { readonly a: number } }\n`,
  })
  expect(found).toHaveLength(6)
  expect(found[0]).toMatch(
    /^typescript-5, NodeNext:\nnode_modules\/@ashlar\/one\/dist\/One\.d\.ts.*TS2307/,
  )
})
