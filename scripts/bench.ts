/**
 * `npm run bench -- core serving` runs the programs in `packages/<name>/bench/*.bench.ts`, one
 * after the other; without a name, all of them. Each prints one JSON object a line:
 * `{"bench","value","unit","against","bar","pass"}`. A missed bar is a line to read, not a failure:
 * only a crash exits non-zero.
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { basename, join, relative } from "node:path"
import { buildKernels } from "./kernels.ts"
import { buildPages } from "./ui.ts"
import { filesUnder, packagesOf, root } from "./workspace.ts"

const names = process.argv.slice(2)
const packages = packagesOf().map(({ folder }) => folder)
const unknown = names.filter((name) => !packages.some((folder) => basename(folder) === name))
if (unknown.length > 0) {
  console.error(
    `There is no package ${unknown.join(", ")}. The packages: ${packages.map((folder) => basename(folder)).join(", ")}`,
  )
  process.exit(2)
}

buildKernels()
buildPages()
const programs = packages
  .filter((folder) => names.length === 0 || names.includes(basename(folder)))
  .map((folder) => join(folder, "bench"))
  .filter((folder) => existsSync(folder))
  .flatMap((folder) => filesUnder(folder, ".bench.ts"))

if (programs.length === 0) console.error(`No benches in ${names.join(", ")}.`)

let crashed = 0
for (const program of programs) {
  const result = spawnSync(process.execPath, ["--expose-gc", program], {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
  })
  if (result.status === 0) continue
  crashed += 1
  console.error(
    `${relative(root, program)} crashed with ${result.signal ?? `exit code ${result.status}`}`,
  )
}
process.exitCode = crashed === 0 ? 0 : 1
