import { Orchestrator, Workflow } from "@ashlar/orchestrator"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { date, day, isoDate, type Span } from "./calendar.ts"
import * as Evaluate from "./evaluate.ts"
import * as Loop from "./loop.ts"
import * as Prepare from "./prepare.ts"
import { FeatureDrift, Miss, Result, Week } from "./result.ts"
import * as Score from "./score.ts"
import * as Show from "./show.ts"
import * as Watch from "./watch.ts"

/** Weeks from Monday to Monday, cut to a span. */
const weeksOf = (span: Span): ReadonlyArray<Span> => {
  const monday = date(4, 30)
  const weeks: Array<Span> = []
  for (let from = monday; from < span.to; from += 7 * day) {
    const week = { from: Math.max(from, span.from), to: Math.min(from + 7 * day, span.to) }
    if (week.from < week.to) weeks.push(week)
  }
  return weeks
}

const months = [
  { name: "2001-04", span: { from: date(4), to: date(5) } },
  { name: "2001-05", span: { from: date(5), to: date(6) } },
  { name: "2001-06", span: { from: date(6), to: date(7) } },
] as const

const Fired = Schema.NullOr(
  Schema.Struct({ at: Schema.Number, key: Schema.String, reason: Schema.String }),
)

/** The whole story: learn, serve May and June, notice the change, learn again. */
export const flightDelays = Workflow.make({
  name: "flight-delays",
  version: "1",
  input: Schema.Struct({ rows: Schema.Number }),
  output: Result,
  run: (_, context) =>
    Effect.gen(function* () {
      const orchestrator = yield* Orchestrator.Orchestrator
      const { step } = context
      const cleaned = yield* step(
        { name: "clean", output: Prepare.Cleaned },
        Show.task("read flights and drop what cannot be true", () => Prepare.clean),
      )
      yield* Loop.defineFeatures
      yield* step(
        { name: "ingest", output: Schema.Number },
        Show.task("take flights into the feature store", () => Prepare.ingest(cleaned.digest)),
      )
      const first = yield* Loop.turn(context, Loop.firstTurn)

      // Read when the first span is scored, and not at all when every span is done already.
      const timeline = yield* Effect.cached(Score.timeline)
      const since = date(5)
      const score = (span: Span) =>
        step(
          { name: `score/${isoDate(span.from)}`, output: Score.Scored, attempts: 2 },
          Show.task(`score ${isoDate(span.from)} to ${isoDate(span.to)} over HTTP`, (report) =>
            Effect.flatMap(timeline, (flights) => {
              const expected = flights.time.filter((t) => t >= span.from && t < span.to).length
              return Score.span(flights, span, since, (rows) =>
                report(rows, expected, `${Show.count(rows)} flights`),
              )
            }),
          ),
        )

      const scored: Array<typeof Score.Scored.Type> = []
      let fired: typeof Fired.Type = null
      let second: typeof Loop.Turn.Type | null = null
      for (const week of weeksOf({ from: since, to: date(7) })) {
        scored.push(yield* score(week))
        // The rule compares with the whole of May.
        if (fired !== null || week.to <= date(6, 4)) continue
        fired = yield* step(
          { name: `watch/${isoDate(week.to)}`, output: Fired },
          Watch.evaluate(week.to),
        )
        if (fired !== null) second = yield* orchestrator.wait(Loop.retrain, fired.key)
      }

      const weeks = yield* step({ name: "weeks", output: Schema.Array(Week) }, Watch.weeks)
      const drift = yield* step(
        { name: "drift", output: Schema.Array(FeatureDrift) },
        Show.task("measure drift", () => Watch.drift),
      )
      const misses = yield* step(
        { name: "misses", output: Schema.Array(Miss) },
        Show.task("explain the worst misses", () =>
          Watch.misses(first.version, `${Loop.firstTurn.name}-train`, Loop.firstTurn.train),
        ),
      )
      const auc: Array<(typeof Result.Type)["auc"][number]> = []
      for (const { name, span } of months) {
        yield* step(
          { name: `frame/${name}`, output: Prepare.Frame },
          Show.task(`join features for ${name}`, () => Prepare.frame(name, span)),
        )
        for (const [model, version, train] of [
          ["champion", first.version, Loop.firstTurn.train],
          ["challenger", second?.version, Loop.retrainTurn(fired?.at ?? 0).train],
        ] as const) {
          if (version === undefined) continue
          const value = yield* step(
            { name: `auc/${model}/${name}`, output: Schema.Number },
            Evaluate.auc(version, name),
          )
          const inSample = span.from < train.to && span.to > train.from
          auc.push({ model, version, month: name, auc: value, inSample })
        }
      }
      return { cleaned, first, fired, second, scored, weeks, drift, misses, auc }
    }),
})
