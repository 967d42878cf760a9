import {
  Aggregate,
  Entity,
  FeatureService,
  FeatureView,
  RequestView,
  Source,
} from "@ashlar/feature-store"

/** Minutes after which a flight counts as late. */
export const lateAfter = 15

/** Flights as they become known: the delay exists from the arrival on, not from the departure. */
export const flights = Source.make({ name: "flights", timestamp: "time", created: "created" })

const origin = Entity.make({ name: "origin", joinKeys: { origin: "string" } })
const destination = Entity.make({ name: "destination", joinKeys: { destination: "string" } })
const route = Entity.make({
  name: "route",
  joinKeys: { origin: "string", destination: "string" },
})

const late = { column: "delay", op: ">", value: lateAfter } as const

const originDelays = FeatureView.make({
  name: "origin_delays",
  entity: origin,
  source: flights,
  aggregates: [
    Aggregate.mean("delay", ["3h", "1d", "7d"]),
    Aggregate.rate("late", late, ["3h", "1d", "7d"]),
    Aggregate.count(["3h", "1d"]),
  ],
})

const destinationDelays = FeatureView.make({
  name: "destination_delays",
  entity: destination,
  source: flights,
  aggregates: [
    Aggregate.mean("delay", ["3h", "1d", "7d"]),
    Aggregate.rate("late", late, ["3h", "1d"]),
    Aggregate.count(["3h"]),
  ],
})

const routeDelays = FeatureView.make({
  name: "route_delays",
  entity: route,
  source: flights,
  aggregates: [
    Aggregate.mean("delay", ["1d", "7d"]),
    Aggregate.rate("late", late, ["1d", "7d", "4w"]),
    Aggregate.count(["7d"]),
  ],
})

const day = 86_400e6

/** What is known from the timetable, computed when it is asked for. */
const timetable = RequestView.make({
  name: "timetable",
  inputs: { time: "timestamp", distance: "float64" },
  features: { hour: "float64", weekday: "float64", miles: "float64" },
  compute: ({ time, distance }) => ({
    hour: time.map((t) => (((t % day) + day) % day) / 3600e6),
    weekday: time.map((t) => (Math.floor(t / day) + 4) % 7),
    miles: distance,
  }),
})

export const views = [originDelays, destinationDelays, routeDelays, timetable] as const

/** The features of the models, in order. */
export const flightRisk = FeatureService.make({
  name: "flight_risk",
  views,
  fullNames: true,
  precision: "float32",
})
