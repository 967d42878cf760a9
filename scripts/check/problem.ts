/**
 * What a check finds, and how it is printed.
 *
 * @module
 */
import { relative } from "node:path"

/** One thing that is wrong: where, and what to do about it. */
export interface Problem {
  readonly file: string
  readonly line?: number
  readonly message: string
}

/** `packages/core/src/X.ts:12 message`, the path relative to the tree. */
export const render = (tree: string, { file, line, message }: Problem): string => {
  const path = file.startsWith(tree) ? relative(tree, file) : file
  return `${path}${line === undefined ? "" : `:${line}`} ${message}`
}

/** One step of `npm run check`. `fix` is true under `--fix`. */
export interface Step {
  readonly name: string
  readonly about: string
  readonly run: (
    tree: string,
    options: { readonly fix: boolean },
  ) => Promise<ReadonlyArray<Problem>> | ReadonlyArray<Problem>
}
