/**
 * The one dependency rule: a module depends on core alone, and core on no other package. What one
 * module needs of another is a port in core, wired by the application.
 *
 * @module
 */
import { join, relative } from "node:path"
import { filesUnder, packagesOf } from "../workspace.ts"
import type { Problem, Step } from "./problem.ts"
import { isBare, packageOf, parse, referencesOf } from "./source.ts"

const core = "@ashlar/core"
const allowed = (from: string, to: string): boolean => to === from || (to === core && from !== core)

/** Imports and declared dependencies that cross the rule, and relative imports that leave a package. */
export const edges = (tree: string): ReadonlyArray<Problem> =>
  packagesOf(tree).flatMap(({ folder, manifest }) => {
    const declared = Object.keys({
      ...manifest.dependencies,
      ...manifest.devDependencies,
      ...manifest.peerDependencies,
    })
    const inManifest = declared
      .filter((name) => name.startsWith("@ashlar/") && !allowed(manifest.name, name))
      .map((name) => ({
        file: join(folder, "package.json"),
        message: `${manifest.name} may depend on ${core} alone, not on ${name}: use a port in core`,
      }))
    const inSources = filesUnder(folder, ".ts", ".tsx").flatMap((file) =>
      referencesOf(parse(file)).flatMap(({ specifier, line }) => {
        if (isBare(specifier)) {
          const name = packageOf(specifier)
          return name.startsWith("@ashlar/") && !allowed(manifest.name, name)
            ? [
                {
                  file,
                  line,
                  message: `${manifest.name} may import ${core} alone, not ${specifier}: use a port in core`,
                },
              ]
            : []
        }
        return specifier.startsWith(".") &&
          relative(folder, join(file, "..", specifier)).startsWith("..")
          ? [
              {
                file,
                line,
                message: `${specifier} leaves the package: import what the other package exports`,
              },
            ]
          : []
      }),
    )
    return [...inManifest, ...inSources]
  })

/** The step `edges`. */
export const step: Step = { name: "edges", about: "modules depend on core alone", run: edges }
