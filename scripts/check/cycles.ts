/**
 * No import cycles at run time. Type-only imports are erased and may point both ways.
 *
 * @module
 */
import { join, relative } from "node:path"
import { filesUnder, packagesOf } from "../workspace.ts"
import type { Problem, Step } from "./problem.ts"
import { parse, referencesOf, resolveLocal } from "./source.ts"

type Graph = ReadonlyMap<string, ReadonlyArray<string>>

const graphOf = (tree: string): Graph => {
  const members = packagesOf(tree)
  const files = members.flatMap(({ folder }) => filesUnder(join(folder, "src"), ".ts", ".tsx"))
  return new Map(
    files.map((file) => [
      file,
      referencesOf(parse(file))
        .filter(({ typeOnly }) => !typeOnly)
        .map(({ specifier }) => resolveLocal(file, specifier, members))
        .filter((target) => target !== undefined),
    ]),
  )
}

/** Each cycle once, as the files along it. */
const cyclesOf = (graph: Graph): ReadonlyArray<ReadonlyArray<string>> => {
  const found: Array<ReadonlyArray<string>> = []
  const done = new Set<string>()
  const visit = (file: string, path: ReadonlyArray<string>): void => {
    const start = path.indexOf(file)
    if (start >= 0) {
      found.push([...path.slice(start), file])
      return
    }
    if (done.has(file)) return
    for (const next of graph.get(file) ?? []) visit(next, [...path, file])
    done.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
  return found
}

/** Every import cycle among the packages' sources. */
export const cycles = (tree: string): ReadonlyArray<Problem> =>
  cyclesOf(graphOf(tree)).map((cycle) => ({
    file: cycle[0] ?? tree,
    message: `imports itself: ${cycle.map((file) => relative(tree, file)).join(" -> ")}`,
  }))

/** The step `cycles`. */
export const step: Step = { name: "cycles", about: "no import cycles", run: cycles }
