/**
 * `npm run build`: the libraries with `tsc -b` (a file per module), the kernels, the pages, then tsup for what
 * runs (command lines and reference servers: whatever has a `tsup.config.ts`).
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { join, relative } from "node:path"
import { buildKernels } from "./kernels.ts"
import { buildPages } from "./ui.ts"
import { examplesOf, packagesOf, root } from "./workspace.ts"

const run = (script: string, args: ReadonlyArray<string>, cwd: string = root): void => {
  const result = spawnSync(process.execPath, [join(root, "node_modules", script), ...args], {
    cwd,
    stdio: "inherit",
  })
  if (result.status !== 0) process.exit(result.status ?? 1)
}

const start = performance.now()
run("typescript/bin/tsc", ["-b"])
for (const built of [...buildKernels(), ...buildPages()]) {
  console.log(`built ${relative(root, built)}`)
}
for (const { folder } of [...packagesOf(), ...examplesOf()]) {
  if (!existsSync(join(folder, "tsup.config.ts"))) continue
  console.log(`bundling ${relative(root, folder)}`)
  run("tsup/dist/cli-default.js", [], folder)
}
console.log(`Built in ${((performance.now() - start) / 1000).toFixed(1)} s.`)
