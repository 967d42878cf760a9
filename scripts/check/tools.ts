/**
 * The linter, the formatter and the type checker as steps.
 *
 * @module
 */
import type { Step } from "./problem.ts"
import { runTool } from "./tool.ts"

/** oxlint with type-aware rules. */
export const lint: Step = {
  name: "lint",
  about: "oxlint, type-aware",
  run: (tree, { fix }) => runTool(tree, "oxlint/bin/oxlint", fix ? ["--fix"] : []),
}

/** oxfmt. */
export const format: Step = {
  name: "format",
  about: "oxfmt",
  run: (tree, { fix }) => runTool(tree, "oxfmt/bin/oxfmt", fix ? ["."] : ["--check", "."]),
}

const tsc = "typescript/bin/tsc"

/** Builds the packages, then checks tests, benches, examples, scripts and pages against the sources. */
export const types: Step = {
  name: "types",
  about: "tsc -b, then tests, benches, examples, scripts and pages",
  run: async (tree) => [
    ...(await runTool(tree, tsc, ["-b"])),
    ...(await runTool(tree, tsc, ["-p", "tsconfig.test.json"])),
    ...(await runTool(tree, tsc, ["-p", "tsconfig.ui.json"])),
  ],
}
