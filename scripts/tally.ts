/**
 * Sums vitest's JSON reports: `node scripts/tally.ts report.json…` prints `<passed> <failed>`.
 * A test file that could not be loaded counts as one failure; skipped tests do not count.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs"

interface Report {
  readonly testResults: ReadonlyArray<{
    readonly status: string
    readonly assertionResults: ReadonlyArray<{ readonly status: string }>
  }>
}

/** Passed and failed tests. */
export interface Tally {
  readonly passed: number
  readonly failed: number
}

/** The tally of one report. */
export const tallyOf = ({ testResults }: Report): Tally => {
  const statuses = testResults.flatMap(({ status, assertionResults }) => {
    const own = assertionResults.map((result) => result.status)
    return status === "failed" && !own.includes("failed") ? [...own, "failed"] : own
  })
  const count = (wanted: string) => statuses.filter((status) => status === wanted).length
  return { passed: count("passed"), failed: count("failed") }
}

if (import.meta.main) {
  const tallies = process.argv
    .slice(2)
    .map((file) =>
      existsSync(file)
        ? tallyOf(JSON.parse(readFileSync(file, "utf8")) as Report)
        : { passed: 0, failed: 1 },
    )
  const sum = (field: keyof Tally) => tallies.reduce((total, tally) => total + tally[field], 0)
  console.log(`${sum("passed")} ${sum("failed")}`)
}
