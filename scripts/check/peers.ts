/**
 * Every import is declared, and an optional peer stays in the file of its technology: whoever
 * imports a package's root must not need a driver they never asked for.
 *
 * @module
 */
import { basename, join, relative } from "node:path"
import { filesUnder, type Member, packagesOf } from "../workspace.ts"
import type { Problem, Step } from "./problem.ts"
import { isBare, packageOf, parse, referencesOf, resolveLocal } from "./source.ts"

/** A file about one noun (`BlobStore.ts`), an index or a Promise face: reached by everybody. */
const isGeneral = (source: string, file: string): boolean => {
  const name = basename(file)
  const inside = relative(source, file)
  // What the root reaches of these is found by the walk below.
  if (/^(testing|internal|ui)\//.test(inside)) return false
  return /^[A-Z]/.test(name) || inside === "index.ts" || inside === "promise.ts"
}

const imports = (
  file: string,
): ReadonlyArray<{ readonly specifier: string; readonly line: number }> => referencesOf(parse(file))

/** How the package's root reaches an optional peer: the files along the way. */
const pathsToPeers = (
  member: Member,
  optional: ReadonlySet<string>,
): ReadonlyArray<ReadonlyArray<string>> => {
  const found: Array<ReadonlyArray<string>> = []
  const seen = new Set<string>()
  const known = new Set(filesUnder(join(member.folder, "src"), ".ts"))
  const visit = (file: string, path: ReadonlyArray<string>): void => {
    if (seen.has(file) || !known.has(file)) return
    seen.add(file)
    for (const { specifier } of imports(file)) {
      if (isBare(specifier) && optional.has(packageOf(specifier)))
        found.push([...path, file, specifier])
      const next = resolveLocal(file, specifier, [member])
      if (next !== undefined) visit(next, [...path, file])
    }
  }
  for (const entry of ["index.ts", "promise.ts"]) visit(join(member.folder, "src", entry), [])
  return found
}

/** Undeclared imports, and optional peers outside the file of their technology. */
export const peers = (tree: string): ReadonlyArray<Problem> =>
  packagesOf(tree).flatMap((member) => {
    const { folder, manifest } = member
    const source = join(folder, "src")
    const declared = new Set(
      Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }),
    )
    const meta = manifest.peerDependenciesMeta ?? {}
    const optional = new Set(Object.keys(meta).filter((name) => meta[name]?.optional === true))
    const undeclaredMeta = [...optional]
      .filter((name) => manifest.peerDependencies?.[name] === undefined)
      .map((name) => ({
        file: join(folder, "package.json"),
        message: `${name} is an optional peer without a version: add it to peerDependencies`,
      }))
    const bundled = new Set([...declared, ...Object.keys(manifest.devDependencies ?? {})])
    const misplaced = filesUnder(source, ".ts", ".tsx").flatMap((file) =>
      imports(file).flatMap(({ specifier, line }) => {
        if (!isBare(specifier)) return []
        const name = packageOf(specifier)
        if (name === manifest.name) return []
        // Pages are bundled with what they import: it is needed where they are built.
        const isPage = file.startsWith(join(source, "ui/"))
        if (!(isPage ? bundled : declared).has(name)) {
          return [
            {
              file,
              line,
              message: `${name} is not declared: add it to ${manifest.name}'s package.json`,
            },
          ]
        }
        return optional.has(name) && isGeneral(source, file)
          ? [
              {
                file,
                line,
                message: `${name} is an optional peer: import it only in the file of its technology`,
              },
            ]
          : []
      }),
    )
    const reached = pathsToPeers(member, optional).map((path) => ({
      file: path[0] ?? folder,
      message: `reaches the optional peer ${path.at(-1)}: ${path.map((part) => part.replace(`${folder}/`, "")).join(" -> ")}`,
    }))
    return [...undeclaredMeta, ...misplaced, ...reached]
  })

/** The step `peers`. */
export const step: Step = {
  name: "peers",
  about: "imports are declared, optional peers stay in their file",
  run: peers,
}
