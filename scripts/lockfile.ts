/**
 * `npm run lockfile`, after `npm install`: completes `package-lock.json` with the builds for other
 * platforms that npm left out because its registry did not serve them. Without them `npm ci` says
 * that manifest and lockfile are out of sync, and other platforms would go without their build.
 *
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { root } from "./workspace.ts"

/** An entry of a lockfile, as far as it matters here. */
interface Entry {
  readonly version?: string
  readonly dev?: boolean
  readonly optional?: boolean
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly os?: ReadonlyArray<string>
  readonly cpu?: ReadonlyArray<string>
  readonly libc?: ReadonlyArray<string>
}

/** The packages of a lockfile by their place in the tree. */
export type Entries = Readonly<Record<string, Entry>>

const systems = [
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
]
const processors = [
  "arm64",
  "arm",
  "ia32",
  "loong64",
  "mips64el",
  "ppc64",
  "riscv64",
  "s390x",
  "wasm32",
  "x64",
]

/** The platform in the name of a binary package: `binding-linux-arm-gnueabihf`. */
const platformOf = (name: string): Pick<Entry, "os" | "cpu" | "libc"> => {
  const parts = name.split(/[-/]/)
  const os = systems.filter((system) => parts.includes(system))
  const cpu = processors.filter((processor) => parts.includes(processor))
  const last = parts.at(-1) ?? ""
  const libc = last.startsWith("gnu") ? ["glibc"] : last.startsWith("musl") ? ["musl"] : []
  return {
    ...(os.length > 0 ? { os } : {}),
    ...(cpu.length > 0 ? { cpu } : {}),
    ...(libc.length > 0 && os.includes("linux") ? { libc } : {}),
  }
}

/** Where npm finds a dependency of the package at `place`. */
const isLocked = (entries: Entries, place: string, name: string): boolean => {
  for (let at = place; ; at = at.slice(0, at.lastIndexOf("/node_modules/"))) {
    if (entries[`${at}/node_modules/${name}`] !== undefined) return true
    if (!at.includes("/node_modules/")) break
  }
  return entries[`node_modules/${name}`] !== undefined
}

/** The entries with every optional build for a platform that is missing among them. */
export const complete = (entries: Entries): Entries => {
  const added: Record<string, Entry> = {}
  for (const [place, { optionalDependencies = {}, dev }] of Object.entries(entries)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      if (!/^\d/.test(version) || isLocked(entries, place, name)) continue
      const platform = platformOf(name)
      if (platform.os === undefined && platform.cpu === undefined) continue
      added[`node_modules/${name}`] = {
        version,
        ...(dev === true ? { dev } : {}),
        optional: true,
        ...platform,
      }
    }
  }
  return Object.fromEntries(
    Object.entries({ ...entries, ...added }).toSorted(([a], [b]) => a.localeCompare(b, "en")),
  )
}

if (import.meta.main) {
  const file = join(root, "package-lock.json")
  const lock = JSON.parse(readFileSync(file, "utf8"))
  const before = Object.keys(lock.packages).length
  lock.packages = complete(lock.packages)
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
  console.log(`${Object.keys(lock.packages).length - before} builds for other platforms added.`)
}
