/**
 * Where things are in this workspace.
 *
 * @module
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

/** The repository root. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** The parts of a package.json that the scripts read. */
export interface Manifest {
  readonly name: string
  readonly version?: string
  readonly private?: boolean
  readonly files?: ReadonlyArray<string>
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>
}

/** A package or example: its folder and manifest. */
export interface Member {
  readonly folder: string
  readonly manifest: Manifest
}

const membersOf = (tree: string, group: string): ReadonlyArray<Member> => {
  const parent = join(tree, group)
  if (!existsSync(parent)) return []
  return readdirSync(parent)
    .sort()
    .map((name) => join(parent, name))
    .filter((folder) => existsSync(join(folder, "package.json")))
    .map((folder) => ({
      folder,
      manifest: JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest,
    }))
}

/** The published packages of a tree. */
export const packagesOf = (tree: string = root): ReadonlyArray<Member> =>
  membersOf(tree, "packages")

/** The examples of a tree. */
export const examplesOf = (tree: string = root): ReadonlyArray<Member> =>
  membersOf(tree, "examples")

/** Folders that hold nothing a person wrote. */
const skipped = new Set([
  "node_modules",
  "dist",
  ".git",
  ".ashlar",
  ".venv",
  "coverage",
  "dist-kernel",
])

/** Every file under `folder` whose name ends as asked, in a stable order. */
export const filesUnder = (
  folder: string,
  ...endings: ReadonlyArray<string>
): ReadonlyArray<string> => {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) {
        const isSkipped = skipped.has(entry.name) || entry.name.startsWith(".venv-")
        return isSkipped ? [] : filesUnder(path, ...endings)
      }
      return entry.isFile() && endings.some((ending) => entry.name.endsWith(ending)) ? [path] : []
    })
}
