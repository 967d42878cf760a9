import { expect, it } from "vitest"
import { tallyOf } from "../tally.ts"

const file = (status: string, ...tests: ReadonlyArray<string>) => ({
  status,
  assertionResults: tests.map((each) => ({ status: each })),
})

it("counts passed and failed tests, not skipped ones", () => {
  const testResults = [file("passed", "passed", "skipped"), file("failed", "failed", "passed")]
  expect(tallyOf({ testResults })).toEqual({ passed: 2, failed: 1 })
})

it("counts a file that did not load, or failed outside its tests, as one failure", () => {
  const testResults = [file("failed"), file("failed", "passed")]
  expect(tallyOf({ testResults })).toEqual({ passed: 1, failed: 2 })
})
