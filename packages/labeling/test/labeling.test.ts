import { Dataset } from "@ashlar/core"
import { Labeling, LabelingFunction } from "@ashlar/labeling"
import * as Promised from "@ashlar/labeling/promise"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"

const run = <A, E>(effect: Effect.Effect<A, E, Labeling.Labeling>) =>
  Effect.runPromise(Effect.provide(effect, Labeling.layer))

const delays = [5, -3, 20, -900, 12, 4000, 0, -1116, 33, 7]

const flights = Dataset.fromColumns({
  delay: Float64Array.from(delays),
  origin: delays.map((_, i) => (i % 2 === 0 ? "SFO" : "JFK")),
})

const rule = (name: string, vote: (delay: number) => number) =>
  LabelingFunction.make({
    name,
    description: name,
    vote: (table) =>
      Int8Array.from(Effect.runSync(Dataset.float64(table, "delay")), (delay) => vote(delay)),
  })

const rules = [
  rule("too_early", (delay) => (delay < -120 ? 1 : -1)),
  rule("too_late", (delay) => (delay > 1440 ? 1 : -1)),
  rule("usual", (delay) => (delay > -60 && delay < 600 ? 0 : 1)),
]

const classes = ["plausible", "implausible"]

describe("Labeling", () => {
  it("separates rows and says why each was dropped", async () => {
    const { kept, dropped } = await run(
      Effect.gen(function* () {
        const labeling = yield* Labeling.Labeling
        const result = yield* labeling.separate({
          dataset: yield* flights,
          classes,
          functions: rules,
          keep: "plausible",
        })
        return {
          kept: yield* Dataset.table(result.kept),
          dropped: yield* Dataset.table(result.dropped),
        }
      }),
    )
    expect(kept.numRows).toBe(7)
    expect(dropped.toArray().map((row) => [row["delay"], row["label"], row["reasons"]])).toEqual([
      [-900, "implausible", "too_early, usual"],
      [4000, "implausible", "too_late, usual"],
      [-1116, "implausible", "too_early, usual"],
    ])
  })

  it("drops nothing where nothing is wrong", async () => {
    const { kept, dropped } = await run(
      Effect.gen(function* () {
        const labeling = yield* Labeling.Labeling
        return yield* labeling.separate({
          dataset: yield* Dataset.fromColumns({ delay: Float64Array.of(1, 2, 3) }),
          classes,
          functions: rules,
          keep: "plausible",
        })
      }),
    )
    expect(kept.rows).toBe(3)
    expect(dropped.rows).toBe(0)
  })

  it("refuses bad requests with the field's name", async () => {
    const attempt = (request: Partial<Labeling.SeparateRequest>) =>
      run(
        Effect.gen(function* () {
          const labeling = yield* Labeling.Labeling
          const dataset = yield* flights
          const whole = { dataset, classes, functions: rules, keep: "plausible", ...request }
          return yield* Effect.flip(labeling.separate(whole))
        }),
      )
    expect(await attempt({ classes: ["one"], keep: "one" })).toMatchObject({ field: "classes" })
    expect(await attempt({ keep: "nothing" })).toMatchObject({ field: "keep" })
    expect(await attempt({ functions: [] })).toMatchObject({ field: "functions" })
    const broken = LabelingFunction.make({
      name: "broken",
      description: "reads a column that is not there",
      vote: (table) => Int8Array.from(Effect.runSync(Dataset.float64(table, "nope"))),
    })
    const error = await attempt({ functions: [broken] })
    expect(error).toMatchObject({ _tag: "LabelingError", field: "broken" })
    expect(error.message).toContain("nope")
  })

  it("refuses names that are not names", () => {
    expect(() => rule("../etc", () => 0)).toThrow("labeling function name")
  })

  it("has a Promise face with the same errors", async () => {
    await using labeling = await Promised.make({})
    const dataset = Effect.runSync(flights)
    const request = { dataset, classes, functions: rules, keep: "plausible" }
    const { labels } = await labeling.weakLabel(request)
    expect([...labels]).toEqual([0, 0, 0, 1, 0, 1, 0, 1, 0, 0])
    await expect(labeling.separate({ ...request, keep: "?" })).rejects.toMatchObject({
      _tag: "LabelingError",
      reason: "InvalidInput",
    })
  })
})
