import { Dataset } from "@ashlar/core"
import { Labeling } from "@ashlar/labeling"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import * as Flights from "../src/flights.ts"
import * as Options from "../src/options.ts"
import * as Plausibility from "../src/plausibility.ts"

describe("plausibility", () => {
  it("drops the absurd records of the real data and keeps the long delays", async () => {
    const { kept, dropped } = await Effect.runPromise(
      Effect.gen(function* () {
        const labeling = yield* Labeling.Labeling
        const result = yield* labeling.separate({
          dataset: yield* Flights.read(3_000_000),
          classes: Plausibility.classes,
          functions: Plausibility.rules,
          keep: "plausible",
        })
        const delays = (ds: Dataset.Dataset) =>
          Effect.flatMap(Dataset.table(ds), (table) => Dataset.float64(table, "delay"))
        return { kept: yield* delays(result.kept), dropped: yield* delays(result.dropped) }
      }).pipe(Effect.provide(Labeling.layer)),
    )
    expect(kept.length + dropped.length).toBe(3_000_000)
    expect(dropped).toContain(-1116)
    expect(dropped.length).toBeGreaterThan(10)
    expect(dropped.length).toBeLessThan(1000)
    expect(Math.min(...dropped.filter((d) => d > 0))).toBeGreaterThan(600)
    expect(kept.reduce((low, d) => Math.min(low, d), 0)).toBeGreaterThan(-100)
  })
})

describe("options", () => {
  it("come from arguments, then the environment, then defaults", () => {
    expect(Options.read([], {})).toMatchObject({ rows: 3_000_000, port: 0, fresh: false })
    expect(Options.read([], { ASHLAR_ROWS: "50000" })).toMatchObject({ rows: 50_000 })
    expect(Options.read(["--rows", "60000"], { ASHLAR_ROWS: "50000" })).toMatchObject({
      rows: 60_000,
    })
    expect(Options.read(["--help"], {})).toBe("help")
  })

  it.each([["--rows", "12"], ["--rows", "many"], ["--port", "70000"], ["--nonsense"]])(
    "refuse %s %s with a message",
    (...args) => {
      const read = Options.read(
        args.filter((arg) => arg !== undefined),
        {},
      )
      expect(read).toHaveProperty("error")
    },
  )
})
