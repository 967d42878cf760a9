import { ModelSink, PromotionGate } from "@ashlar/core"
import { FeatureStore } from "@ashlar/feature-store"
import { Workflow } from "@ashlar/orchestrator"
import { Models } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { date, day, isoDate, type Span } from "./calendar.ts"
import * as Features from "./features.ts"
import * as Prepare from "./prepare.ts"
import * as Show from "./show.ts"
import * as Train from "./train.ts"

/** A span of time as journaled. */
export const SpanSchema = Schema.Struct({ from: Schema.Number, to: Schema.Number })

/** What one turn of the loop produced. */
export const Turn = Schema.Struct({
  trees: Train.Trained,
  network: Train.Trained,
  version: Schema.Number,
  promoted: Schema.Boolean,
  decision: PromotionGate.GateDecision,
  evaluated: Prepare.Frame,
})

/** One turn: what to learn from and what to be judged on. */
export interface TurnPlan {
  /** Prefix of step names and keys. */
  readonly name: string
  readonly train: Span
  readonly evaluate: Span
  readonly seed: number
  /** Registers a baseline to beat, for the first turn. */
  readonly baseline: boolean
}

const Done = Schema.Null

/** Definitions live in the process, so they are applied at every start; applying again is free. */
export const defineFeatures = Effect.gen(function* () {
  const store = yield* FeatureStore.FeatureStore
  yield* store.apply([Features.flights, ...Features.views, Features.flightRisk])
})

/**
 * One turn of the loop: frames as they were known at the time, two kinds of models searched and
 * tracked, the better one registered, and promoted only if the gate finds that it wins.
 */
export const turn = Effect.fnUntraced(function* (
  context: Workflow.WorkflowContext,
  plan: TurnPlan,
) {
  const { name, train, evaluate } = plan
  const step = <A, E, R>(
    what: string,
    output: Schema.Codec<A, unknown>,
    work: Effect.Effect<A, E, R>,
  ) => context.step({ name: `${name}/${what}`, output, attempts: 2 }, work)

  yield* step(
    "training-frame",
    Prepare.Frame,
    Show.task(`join features for ${isoDate(train.from)} to ${isoDate(train.to)}`, () =>
      Prepare.frame(`${name}-train`, train),
    ),
  )
  const evaluated = yield* step(
    "evaluation-frame",
    Prepare.Frame,
    Show.task(`join features for ${isoDate(evaluate.from)} to ${isoDate(evaluate.to)}`, () =>
      Prepare.frame(`${name}-evaluate`, evaluate),
    ),
  )
  const job = (report: Show.Report): Train.Job => ({
    key: name,
    frame: `${name}-train`,
    span: train,
    seed: plan.seed,
    onProgress: report,
  })

  if (plan.baseline) {
    yield* step(
      "baseline",
      Done,
      Effect.gen(function* () {
        const sink = yield* ModelSink.ModelSink
        const models = yield* Models.Models
        const trained = yield* Show.task("train the baseline", (report) =>
          Train.baseline(job(report)),
        )
        const { version } = yield* Train.register(`${name}-baseline`, trained)
        yield* sink.setAlias(Train.modelName, "baseline", version)
        yield* models.setPolicy(Train.modelName, "champion", {
          metric: "auc",
          label: "late",
          baseline: "baseline",
        })
        return null
      }),
    )
  }
  const trees = yield* step(
    "trees",
    Train.Trained,
    Show.task("search and train gradient-boosted trees", (report) => Train.trees(job(report))),
  )
  const network = yield* step(
    "network",
    Train.Trained,
    Show.task("search and train a TensorFlow.js network", (report) => Train.network(job(report))),
  )
  const better = trees.auc >= network.auc ? trees : network
  const { version } = yield* step("register", Train.Registered, Train.register(name, better))
  const { promoted, decision } = yield* step(
    "promote",
    Schema.Struct({ promoted: Schema.Boolean, decision: PromotionGate.GateDecision }),
    Show.task("compare with the champion and promote if it wins", () =>
      Effect.gen(function* () {
        const sink = yield* ModelSink.ModelSink
        const answer = yield* sink.promote({
          name: Train.modelName,
          version,
          alias: "champion",
          evaluation: evaluated,
          key: name,
        })
        if (answer.promoted) yield* Train.remember(`${name}-train`, train)
        return { promoted: answer.promoted, decision: answer.decision }
      }),
    ),
  )
  return { trees, network, version, promoted, decision, evaluated }
})

/** Learns from January to March, judged on April. */
export const firstTurn: TurnPlan = {
  name: "first",
  train: { from: date(1), to: date(4) },
  evaluate: { from: date(4), to: date(5) },
  seed: 7,
  baseline: true,
}

/** Learns from the ninety days before the last fortnight, judged on that fortnight. */
export const retrainTurn = (at: number): TurnPlan => ({
  name: `retrain-${isoDate(at)}`,
  train: { from: at - 104 * day, to: at - 14 * day },
  evaluate: { from: at - 14 * day, to: at },
  seed: 11,
  baseline: false,
})

/** The workflow that a `retrain` trigger starts. */
export const retrain = Workflow.make({
  name: "retrain",
  version: "1",
  input: Schema.Struct({ at: Schema.Number, rows: Schema.Number }),
  output: Turn,
  run: ({ at }, context) => turn(context, retrainTurn(at)),
})
