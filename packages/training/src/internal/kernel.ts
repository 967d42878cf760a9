/**
 * Loads the learner's WebAssembly kernel. Published packages contain it; in a source tree it is
 * built on first use, in seconds, by AssemblyScript.
 *
 * @module
 */
import { execFile } from "node:child_process"
import { existsSync, statSync } from "node:fs"
import { mkdir, readFile, rename, rm } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { wasm } from "./wasm.ts"
import type { WasmMemory, WasmModule } from "./wasm.ts"

/** Functions of `kernel/index.ts`; every number is a byte offset in the shared memory or a count. */
export interface Kernel {
  readonly binNumeric: (
    column: number,
    bounds: number,
    bins: number,
    stride: number,
    from: number,
    to: number,
  ) => void
  readonly binCategorical: (
    column: number,
    table: number,
    size: number,
    bins: number,
    stride: number,
    from: number,
    to: number,
  ) => void
  readonly spread: (column: number, bins: number, stride: number, from: number, to: number) => void
  readonly logisticGradients: (
    label: number,
    score: number,
    gh: number,
    from: number,
    to: number,
    out: number,
  ) => void
  readonly squaredGradients: (
    label: number,
    score: number,
    gh: number,
    from: number,
    to: number,
    out: number,
  ) => void
  readonly quantise: (
    gh: number,
    from: number,
    to: number,
    scaleG: number,
    scaleH: number,
    seed: number,
  ) => void
  readonly histogram: (
    bins: number,
    stride: number,
    rows: number,
    from: number,
    to: number,
    gh: number,
    hist: number,
  ) => void
  readonly addHistogram: (target: number, other: number, bytes: number) => void
  readonly subtractHistogram: (target: number, other: number, bytes: number) => void
  readonly clear: (target: number, bytes: number) => void
  readonly sumRows: (rows: number, from: number, to: number, gh: number, out: number) => void
  readonly findSplit: (
    hist: number,
    features: number,
    binCounts: number,
    kinds: number,
    mask: number,
    total: bigint,
    count: number,
    config: number,
    out: number,
    scratch: number,
  ) => void
  readonly partition: (
    rows: number,
    from: number,
    to: number,
    column: number,
    table: number,
    lefts: number,
    rights: number,
  ) => number
  readonly copyRows: (target: number, source: number, count: number) => void
  readonly addToRows: (score: number, rows: number, from: number, to: number, value: number) => void
  readonly addTree: (
    bins: number,
    stride: number,
    from: number,
    to: number,
    features: number,
    tables: number,
    children: number,
    values: number,
    score: number,
    skip: number,
  ) => void
  readonly logisticLoss: (label: number, score: number, from: number, to: number) => number
  readonly squaredLoss: (label: number, score: number, from: number, to: number) => number
}

const packageFolder = new URL("../../", import.meta.url)

const build = async (out: URL): Promise<void> => {
  let asc: string
  try {
    asc = fileURLToPath(import.meta.resolve("assemblyscript/asc"))
  } catch (cause) {
    throw new Error(
      "The kernel dist-kernel/kernel.wasm of @ashlar/training is missing and assemblyscript is not installed to build it. " +
        "Reinstall @ashlar/training (its tarball contains the kernel), or install assemblyscript 0.28.",
      { cause },
    )
  }
  const { entry, flags } = JSON.parse(
    await readFile(new URL("kernel/build.json", packageFolder), "utf8"),
  ) as {
    entry: string
    flags: ReadonlyArray<string>
  }
  await mkdir(new URL("./", out), { recursive: true })
  // Several processes may build at once: each writes its own file, the rename is atomic.
  const staging = `${fileURLToPath(out)}.${process.pid}.${Math.random().toString(36).slice(2)}.wasm`
  const bin = asc.replace(/[\\/]dist[\\/]asc\.js$/, "/bin/asc.js")
  try {
    await promisify(execFile)(process.execPath, [
      bin,
      fileURLToPath(new URL(entry, packageFolder)),
      "-o",
      staging,
      ...flags,
    ])
    await rename(staging, out)
  } finally {
    await rm(staging, { force: true })
  }
}

const isStale = (out: URL): boolean => {
  if (!existsSync(out)) return true
  const source = new URL("kernel/index.ts", packageFolder)
  return (
    import.meta.url.endsWith(".ts") &&
    existsSync(source) &&
    statSync(source).mtimeMs > statSync(out).mtimeMs
  )
}

/** Compiles the kernel, building it first when it is missing or older than its source. */
export const compileKernel = async (): Promise<WasmModule> => {
  const out = new URL("dist-kernel/kernel.wasm", packageFolder)
  if (isStale(out)) await build(out)
  return wasm.compile(await readFile(out))
}

/** Instantiates the kernel on a shared memory. */
export const instantiateKernel = (module: WasmModule, memory: WasmMemory): Kernel =>
  new wasm.Instance(module, { env: { memory } }).exports as unknown as Kernel
