import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, it } from "vitest"
import { buildKernels } from "../kernels.ts"

/** The part of the global that this test uses; Node's types leave it out. */
declare const WebAssembly: {
  readonly instantiate: (bytes: Uint8Array) => Promise<{
    readonly instance: { readonly exports: { readonly add: (a: number, b: number) => number } }
  }>
}

let tree = ""
beforeEach(() => {
  tree = mkdtempSync(join(tmpdir(), "ashlar-kernels-"))
  mkdirSync(join(tree, "packages/x/kernel"), { recursive: true })
  writeFileSync(join(tree, "packages/x/package.json"), `{"name":"@ashlar/x"}`)
  writeFileSync(
    join(tree, "packages/x/kernel/build.json"),
    `{"entry":"kernel/index.ts","out":"dist-kernel/kernel.wasm","flags":["-O1"]}`,
  )
  writeFileSync(
    join(tree, "packages/x/kernel/index.ts"),
    "export function add(a: i32, b: i32): i32 { return a + b }",
  )
})
afterEach(() => rmSync(tree, { recursive: true }))

it("builds a missing kernel, keeps a fresh one, rebuilds a stale one", async () => {
  const out = join(tree, "packages/x/dist-kernel/kernel.wasm")
  expect(buildKernels(tree)).toEqual([out])
  const { instance } = await WebAssembly.instantiate(readFileSync(out))
  expect(instance.exports.add(2, 3)).toBe(5)

  expect(buildKernels(tree)).toEqual([])

  const later = new Date(statSync(out).mtimeMs + 5_000)
  utimesSync(join(tree, "packages/x/kernel/index.ts"), later, later)
  expect(buildKernels(tree)).toEqual([out])
})

it("names the kernel that does not compile", () => {
  writeFileSync(
    join(tree, "packages/x/kernel/index.ts"),
    "export function add(): i32 { return missing }",
  )
  expect(() => buildKernels(tree)).toThrow(/kernel\/index\.ts did not compile/)
})
