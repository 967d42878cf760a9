/**
 * A file is about one noun; past 400 lines it is about more.
 *
 * @module
 */
import { readFileSync } from "node:fs"
import { basename, join } from "node:path"
import { filesUnder } from "../workspace.ts"
import type { Problem, Step } from "./problem.ts"

const limit = 400
const nameless = new Set(["utils.ts", "util.ts", "helpers.ts", "helper.ts", "misc.ts", "common.ts"])

/** Tests and benches grow by cases, not by nouns. */
const isLimited = (file: string): boolean => !/[\\/](test|bench)[\\/]/.test(file)

/** Files over the limit, and files named after nothing. */
export const length = (tree: string): ReadonlyArray<Problem> =>
  ["packages", "examples", "scripts"]
    .flatMap((folder) => filesUnder(join(tree, folder), ".ts", ".tsx", ".mjs"))
    .flatMap((file) => {
      const lines = readFileSync(file, "utf8").trimEnd().split("\n").length
      return [
        ...(lines > limit && isLimited(file)
          ? [{ file, message: `has ${lines} lines, the limit is ${limit}: split it by noun` }]
          : []),
        ...(nameless.has(basename(file))
          ? [{ file, message: "is named after nothing: name it after its noun" }]
          : []),
      ]
    })

/** The step `length`. */
export const step: Step = {
  name: "length",
  about: `files have at most ${limit} lines and a noun for a name`,
  run: length,
}
