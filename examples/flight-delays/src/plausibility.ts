import { Dataset } from "@ashlar/core"
import { LabelingFunction } from "@ashlar/labeling"
import type * as Arrow from "apache-arrow"
import * as Effect from "effect/Effect"
import { minutesInFlight } from "./flights.ts"

export const classes = ["plausible", "implausible"] as const
const plausible = 0
const implausible = 1
const { abstain } = LabelingFunction

const numbers = (table: Arrow.Table, name: string): Float64Array =>
  Effect.runSync(Dataset.float64(table, name))

/** A rule on delay and distance alone. */
const rule = (
  name: string,
  description: string,
  vote: (delay: number, distance: number) => number,
): LabelingFunction.LabelingFunction =>
  LabelingFunction.make({
    name,
    description,
    vote: (table) => {
      const delay = numbers(table, "delay")
      const distance = numbers(table, "distance")
      const votes = new Int8Array(delay.length)
      for (let i = 0; i < votes.length; i++) {
        votes[i] = vote(delay[i] as number, distance[i] as number)
      }
      return votes
    },
  })

/** Median and median absolute deviation of the delays of each route. */
const routeSpread = (route: Int32Array, delay: Float64Array, routes: number) => {
  const counts = new Int32Array(routes + 1)
  for (const r of route) counts[r + 1] = (counts[r + 1] as number) + 1
  for (let r = 0; r < routes; r++) counts[r + 1] = (counts[r + 1] as number) + (counts[r] as number)
  const sorted = new Float64Array(delay.length)
  const next = counts.slice()
  route.forEach((r, i) => {
    const at = next[r] as number
    sorted[at] = delay[i] as number
    next[r] = at + 1
  })
  const median = new Float64Array(routes)
  const spread = new Float64Array(routes)
  for (let r = 0; r < routes; r++) {
    const own = sorted.subarray(counts[r], counts[r + 1]).sort()
    median[r] = own[own.length >> 1] ?? 0
    const gaps = own.map((value) => Math.abs(value - (median[r] as number))).sort()
    spread[r] = Math.max(10, gaps[gaps.length >> 1] ?? 0)
  }
  return { median, spread }
}

const farFromRoute = LabelingFunction.make({
  name: "far_from_route",
  description: "more than 25 deviations below, or 130 above, what is usual on its route",
  vote: (table) => {
    const delay = numbers(table, "delay")
    const origin = Effect.runSync(Dataset.dictionary(table, "origin"))
    const destination = Effect.runSync(Dataset.dictionary(table, "destination"))
    const width = destination.values.length
    const route = origin.codes.map((code, i) => code * width + (destination.codes[i] as number))
    const { median, spread } = routeSpread(route, delay, origin.values.length * width)
    return Int8Array.from(route, (r, i) => {
      const distance = ((delay[i] as number) - (median[r] as number)) / (spread[r] as number)
      if (distance < -25 || distance > 130) return implausible
      return Math.abs(distance) < 10 ? plausible : abstain
    })
  },
})

/** Cheap and noisy on their own; the label model weighs them against each other. */
export const rules: ReadonlyArray<LabelingFunction.LabelingFunction> = [
  rule(
    "faster_than_sound",
    "would have flown faster than sound to arrive so early",
    (delay, distance) =>
      // 1.24 miles in half a minute of the flight that is left after taxiing.
      delay < 0 && minutesInFlight(distance) + delay < distance / 12 ? implausible : abstain,
  ),
  rule("hours_early", "more than an hour and a half early", (delay) =>
    delay < -90 ? implausible : abstain,
  ),
  rule("a_day_late", "more than a day late", (delay) => (delay > 1440 ? implausible : abstain)),
  rule("usual", "between 75 minutes early and 22 hours late", (delay) =>
    delay >= -75 && delay <= 1320 ? plausible : implausible,
  ),
  farFromRoute,
]
