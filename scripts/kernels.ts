/**
 * Builds the WebAssembly kernels with AssemblyScript when they are missing or older than their
 * sources. A package declares its kernel in `kernel/build.json`:
 * `{ "entry": "kernel/index.ts", "out": "dist-kernel/kernel.wasm", "flags": ["-O3"] }`, with paths
 * relative to the package; an array declares several.
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { filesUnder, packagesOf, root } from "./workspace.ts"

/** One kernel: what is compiled, into what. */
export interface KernelBuild {
  readonly entry: string
  readonly out: string
  readonly flags?: ReadonlyArray<string>
}

const isStale = (out: string, sources: ReadonlyArray<string>): boolean => {
  if (!existsSync(out)) return true
  const built = statSync(out).mtimeMs
  return sources.some((source) => statSync(source).mtimeMs > built)
}

const build = (folder: string, kernel: KernelBuild): void => {
  const out = join(folder, kernel.out)
  mkdirSync(dirname(out), { recursive: true })
  // Two processes may build at once; each renames a finished file into place.
  const partial = `${out.replace(/\.wasm$/, "")}.${process.pid}.wasm`
  const asc = join(root, "node_modules/assemblyscript/bin/asc.js")
  const flags = kernel.flags ?? ["-O3"]
  const run = spawnSync(process.execPath, [asc, kernel.entry, "--outFile", partial, ...flags], {
    cwd: folder,
    encoding: "utf8",
  })
  if (run.status !== 0) {
    rmSync(partial, { force: true })
    throw new Error(
      `${relative(root, join(folder, kernel.entry))} did not compile:\n${run.stdout}${run.stderr}`,
    )
  }
  renameSync(partial, out)
}

/** The kernels that a package declares. */
export const kernelsOf = (folder: string): ReadonlyArray<KernelBuild> => {
  const declaration = join(folder, "kernel/build.json")
  if (!existsSync(declaration)) return []
  const parsed = JSON.parse(readFileSync(declaration, "utf8")) as
    | KernelBuild
    | ReadonlyArray<KernelBuild>
  return [parsed].flat()
}

/** Builds every missing or stale kernel of the tree; returns the files it wrote. */
export const buildKernels = (tree: string = root): ReadonlyArray<string> => {
  const written: Array<string> = []
  for (const { folder } of packagesOf(tree)) {
    const sources = filesUnder(join(folder, "kernel"), ".ts", ".json")
    for (const kernel of kernelsOf(folder)) {
      const out = join(folder, kernel.out)
      if (!isStale(out, sources)) continue
      build(folder, kernel)
      written.push(out)
    }
  }
  return written
}
