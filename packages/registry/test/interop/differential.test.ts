import { beforeAll, describe, expect, it } from "vitest"
import { explain, replay, type Report, table } from "./differential/replay.ts"

describe.skipIf((process.env["ASHLAR_MLFLOW"] ?? "") === "")("the real mlflow server", () => {
  let report: Report = { compared: [], unused: [] }

  beforeAll(async () => {
    report = await replay()
    console.log(table(report))
  }, 600_000)

  it("is asked at least 300 times", () => {
    expect(report.compared.length).toBeGreaterThanOrEqual(300)
    expect(new Set(report.compared.map(({ id }) => id)).size).toBe(report.compared.length)
  })

  it("answers as this registry does, but for what the allowlist gives a reason", () => {
    expect(explain(report)).toBe("")
  })
})
