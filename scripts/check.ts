/**
 * `npm run check` runs every step; `npm run check -- lint types` runs some; `--fix` lets the steps
 * that can (lint, format, errors) mend what they find. Exits non-zero when any step finds a problem.
 *
 * @module
 */
import { step as cycles } from "./check/cycles.ts"
import { step as edges } from "./check/edges.ts"
import { step as errors } from "./check/errors.ts"
import { step as examples } from "./check/examples.ts"
import { step as exports } from "./check/exports.ts"
import { step as length } from "./check/length.ts"
import { step as patterns } from "./check/patterns.ts"
import { step as peers } from "./check/peers.ts"
import { render, type Step } from "./check/problem.ts"
import { packages, tarballs } from "./check/tarballs.ts"
import { format, lint, types } from "./check/tools.ts"
import { root } from "./workspace.ts"

const steps: ReadonlyArray<Step> = [
  // First, because the type-aware rules of the next step read the declarations it builds.
  types,
  lint,
  format,
  edges,
  cycles,
  peers,
  length,
  patterns,
  errors,
  exports,
  examples,
  packages,
  tarballs,
]

const chosenSteps = (names: ReadonlyArray<string>): ReadonlyArray<Step> => {
  const unknown = names.filter((name) => !steps.some((step) => step.name === name))
  if (unknown.length > 0) {
    const known = steps.map((step) => `  ${step.name.padEnd(10)}${step.about}`).join("\n")
    throw new Error(`There is no step ${unknown.join(", ")}. The steps:\n${known}`)
  }
  return names.length === 0 ? steps : steps.filter((step) => names.includes(step.name))
}

const main = async (): Promise<number> => {
  const args = process.argv.slice(2)
  const fix = args.includes("--fix")
  const failed: Array<string> = []
  const chosen = chosenSteps(args.filter((arg) => arg !== "--fix"))
  for (const step of chosen) {
    const start = performance.now()
    const problems = await step.run(root, { fix })
    const seconds = ((performance.now() - start) / 1000).toFixed(1)
    for (const problem of problems) console.log(render(root, problem))
    console.log(
      `${problems.length === 0 ? "ok  " : "FAIL"} ${step.name.padEnd(10)} ${seconds.padStart(6)} s  ${step.about}`,
    )
    if (problems.length > 0) failed.push(step.name)
  }
  console.log(
    failed.length === 0
      ? `All ${chosen.length} checks passed.`
      : `${failed.length} of ${chosen.length} checks failed: ${failed.join(", ")}`,
  )
  return failed.length === 0 ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}
