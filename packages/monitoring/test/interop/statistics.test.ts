import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { compare, requests } from "../oracle-cases.ts"

const oracle = fileURLToPath(new URL("./oracle.py", import.meta.url))

describe("statistics against scipy, scikit-learn, statsmodels and mpmath", () => {
  it("gives their numbers", () => {
    const cases = requests()
    const python = spawnSync(process.env["ASHLAR_PYTHON"] ?? "python3", [oracle], {
      input: JSON.stringify(cases),
      encoding: "utf8",
      maxBuffer: 1 << 28,
    })
    expect(python.status, python.stderr).toBe(0)
    const answers: ReadonlyArray<unknown> = JSON.parse(python.stdout)
    cases.forEach((request, i) => compare(request, answers[i]))
  })
})
