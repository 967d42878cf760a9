import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as EventIndex from "../../src/internal/eventIndex.ts"
import * as Sweep from "../../src/internal/sweep.ts"
import * as Oracle from "./oracle.ts"

const operations = ["count", "sum", "mean", "min", "max", "variance", "std", "last"] as const
const windows = [1, 7, 30]
const outputs: ReadonlyArray<Sweep.Output> = [
  ...windows.map((window) => ({ operation: "count" as const, column: -1, window })),
  ...operations.flatMap((operation) => windows.map((window) => ({ operation, column: 0, window }))),
]

const event = (value: fc.Arbitrary<number>) =>
  fc.record({
    key: fc.nat(2),
    event: fc.integer({ min: -20, max: 60 }),
    // Known before, at, and long after the event; or never.
    lag: fc.oneof(fc.constant(0), fc.integer({ min: -3, max: 50 }), fc.constant(Number.NaN)),
    value: fc.oneof({ weight: 6, arbitrary: value }, { weight: 1, arbitrary: fc.constant(NaN) }),
  })
const labels = fc.array(fc.record({ key: fc.nat(2), time: fc.integer({ min: -25, max: 100 }) }), {
  maxLength: 25,
})
const whole = fc.integer({ min: -50, max: 50 })
const fraction = fc.double({ min: -1e4, max: 1e4, noNaN: true })

const indexOf = (events: ReadonlyArray<Oracle.Event>) =>
  EventIndex.make({
    key: Int32Array.from(events, (e) => e.key),
    keys: 3,
    event: Float64Array.from(events, (e) => e.event),
    created: Float64Array.from(events, (e) => e.created),
  })

const sweepOf = (events: ReadonlyArray<Oracle.Event>) => {
  const index = indexOf(events)
  const values = EventIndex.gather(
    index,
    Float64Array.from(events, ({ value }) => value),
  )
  return { index, sweep: Sweep.start(Sweep.compile(index, [values], outputs)) }
}

const known = (raw: ReadonlyArray<{ key: number; event: number; lag: number; value: number }>) =>
  raw.map(({ lag, ...e }) => ({ ...e, created: e.event + lag }))

const read = (sweep: Sweep.Sweep, label: Oracle.Label): ReadonlyArray<number> => {
  sweep.advance(label.key, label.time)
  const into = outputs.map(() => new Float64Array(1))
  sweep.read(label.key, into, 0)
  return into.map((column) => column[0] as number)
}

const byTime = (a: Oracle.Label, b: Oracle.Label) => a.time - b.time

describe("the sweep", () => {
  it("equals the naive oracle exactly on whole numbers, ties, late data and gaps", () => {
    fc.assert(
      fc.property(fc.array(event(whole), { maxLength: 60 }), labels, (raw, ls) => {
        const events = known(raw)
        const { index, sweep } = sweepOf(events)
        for (const label of [...ls].sort(byTime)) {
          const got = read(sweep, label)
          outputs.forEach(({ column, operation, window }, o) => {
            const want = Oracle.aggregate(events, label, window, operation, column < 0)
            if (want === want && (operation === "variance" || operation === "std")) {
              expect(got[o]).toBeCloseTo(want, 9)
            } else expect(got[o]).toBe(want)
          })
          const position = sweep.latest(label.key)
          expect(position < 0 ? -1 : index.row[position]).toBe(Oracle.latest(events, label))
        }
      }),
      { numRuns: 1500, seed: 1 },
    )
  })

  it("equals the oracle to rounding on fractions", () => {
    fc.assert(
      fc.property(fc.array(event(fraction), { maxLength: 60 }), labels, (raw, ls) => {
        const events = known(raw)
        const { sweep } = sweepOf(events)
        for (const label of [...ls].sort(byTime)) {
          const got = read(sweep, label)
          outputs.forEach(({ column, operation, window }, o) => {
            const want = Oracle.aggregate(events, label, window, operation, column < 0)
            if (Number.isNaN(want)) expect(got[o]).toBeNaN()
            else expect(Math.abs((got[o] as number) - want)).toBeLessThanOrEqual(1e-6)
          })
        }
      }),
      { numRuns: 700, seed: 2 },
    )
  })

  it("gives the same bits however often it is asked in between, and after a reset", () => {
    fc.assert(
      fc.property(fc.array(event(fraction), { maxLength: 60 }), labels, (raw, ls) => {
        const events = known(raw)
        const often = sweepOf(events).sweep
        const answers = [...ls].sort(byTime).map((label) => [label, read(often, label)] as const)
        const once = sweepOf(events).sweep
        for (const [label, answer] of answers) {
          once.reset()
          expect(read(once, label)).toEqual(answer)
        }
      }),
      { numRuns: 300, seed: 3 },
    )
  })

  it("never uses what becomes known later: appending such events changes nothing", () => {
    fc.assert(
      fc.property(
        fc.array(event(fraction), { maxLength: 40 }),
        fc.integer({ min: -20, max: 60 }),
        (raw, time) => {
          const events = known(raw)
          const past = events.filter((e) => e.created <= time)
          for (let key = 0; key < 3; key++) {
            const all = sweepOf(events)
            const some = sweepOf(past)
            expect(read(all.sweep, { key, time })).toEqual(read(some.sweep, { key, time }))
          }
        },
      ),
      { numRuns: 500, seed: 4 },
    )
  })

  it("keeps variance accurate far from zero and for large histories that left the window", () => {
    const events = Array.from({ length: 3000 }, (_, i) => ({
      key: 0,
      event: i,
      created: i,
      value: i < 1000 ? 1e12 + 0.1 * i : 1e6 + 0.25 * (i % 4),
    }))
    const { sweep } = sweepOf(events)
    const got = read(sweep, { key: 0, time: 2999 })
    const at = outputs.findIndex((o) => o.operation === "variance" && o.window === 30)
    const want = Oracle.aggregate(events, { key: 0, time: 2999 }, 30, "variance", false)
    expect(got[at]).toBeCloseTo(want, 7)
  })
})
