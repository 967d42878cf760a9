/**
 * The promotion gate: scores challenger and champion on the same rows through core's `Predictor`,
 * and lets the challenger pass when it wins by enough and not by luck.
 *
 * AUCs are compared by DeLong's test, means of per-row losses by a seeded paired bootstrap; both are
 * one-sided.
 *
 * @module
 */
import { Dataset, ModelRef, Predictor, PromotionGate, type Signature } from "@ashlar/core"
import * as Parquet from "@ashlar/core/parquet"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { deLong, pairedBootstrap } from "./HypothesisTest.ts"
import { readColumns } from "./internal/arrow-columns.ts"
import { decoder } from "./internal/decode.ts"
import { featureNames, predictScores, scoreOutput } from "./internal/predict-rows.ts"
import { concat } from "./internal/pack.ts"
import { logLosses, squaredErrors } from "./Metric.ts"
import { MonitoringError } from "./MonitoringError.ts"
import * as Performance from "./Performance.ts"

const GateError = PromotionGate.PromotionGateError
type GateError = PromotionGate.PromotionGateError
type Check = typeof PromotionGate.GateCheck.Type

/** How the gate works. */
export interface GateOptions {
  /** Finds the evaluation data; default reads `file:` URIs as Parquet. */
  readonly read?: (ref: Dataset.DatasetRef) => Effect.Effect<Dataset.Dataset, Dataset.DatasetError>
  /** Labelled rows the evaluation must have; default 100. */
  readonly minimumRows?: number
  /** Seed of the bootstrap; default 0. */
  readonly seed?: number
}

const Request = Schema.Struct({
  challenger: ModelRef.ModelRef,
  champion: Schema.optionalKey(ModelRef.ModelRef),
  evaluation: Dataset.DatasetRef,
  label: Schema.NonEmptyString,
  metric: Schema.Literals(["auc", "log_loss", "brier", "accuracy"]),
  minimumGain: Schema.optionalKey(Schema.Finite),
  alpha: Schema.optionalKey(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))),
})

const decodeRequest = decoder(Request, "gate request")

const readFileRef = (
  ref: Dataset.DatasetRef,
): Effect.Effect<Dataset.Dataset, Dataset.DatasetError> => {
  if (ref.uri.startsWith("file:") && URL.canParse(ref.uri)) return Parquet.read(new URL(ref.uri))
  return Effect.fail(
    new Dataset.DatasetError({
      reason: "InvalidInput",
      message: `'${ref.uri}' is no file: URI; give the gate a 'read' that knows where it is`,
      field: "evaluation.uri",
    }),
  )
}

const toGateError = (cause: unknown): GateError => {
  if (cause instanceof GateError) return cause
  const known =
    cause instanceof MonitoringError ||
    cause instanceof Dataset.DatasetError ||
    cause instanceof Predictor.PredictorError
  const reason = known ? cause.reason : "Internal"
  const kept = ["InvalidInput", "NotFound", "Unavailable", "Internal"] as const
  return new GateError({
    reason:
      kept.find((each) => each === reason) ??
      (reason === "RateLimited" || reason === "Timeout" ? "Unavailable" : "Internal"),
    message: `the models could not be compared: ${cause instanceof Error ? cause.message : String(cause)}`,
    cause,
  })
}

/** Feature columns and labels of the labelled rows. */
const readEvaluation = Effect.fnUntraced(function* (
  dataset: Dataset.Dataset,
  label: string,
  features: ReadonlyArray<string>,
) {
  const names = [...new Set([...features, label])]
  const has = new Set(dataset.schema.fields.map((field) => field.name))
  const missing = names.filter((name) => !has.has(name))
  if (missing.length > 0) {
    return yield* new GateError({
      reason: "InvalidInput",
      message: `the evaluation data lacks ${missing.map((name) => `'${name}'`).join(", ")}; it has ${[...has].join(", ")}`,
      field: "evaluation",
    })
  }
  const parts: Array<Record<string, Float64Array>> = []
  yield* dataset.batches.pipe(
    Stream.runForEach((batch) =>
      Effect.flatMap(readColumns(batch, names), (read) =>
        Effect.gen(function* () {
          const text = names.find((name) => Array.isArray(read[name]))
          if (text !== undefined) {
            return yield* new GateError({
              reason: "InvalidInput",
              message: `column '${text}' of the evaluation data is text; encode it as the models take it`,
              field: `evaluation.${text}`,
            })
          }
          const labels = read[label] as ArrayLike<number>
          const kept = Int32Array.from(
            Array.from(labels, (value, i) => (Number.isNaN(value) ? -1 : i)).filter((i) => i >= 0),
          )
          parts.push(
            Object.fromEntries(
              names.map((name) => {
                const column = read[name] as ArrayLike<number>
                return [name, Float64Array.from(kept, (row) => column[row] as number)]
              }),
            ),
          )
        }),
      ),
    ),
  )
  const whole = new Map(
    names.map((name) => [
      name,
      concat(parts.map((part) => part[name] ?? new Float64Array(0))) as Float64Array,
    ]),
  )
  const empty = new Float64Array(0)
  return { columns: whole, labels: parts.length === 0 ? empty : (whole.get(label) ?? empty) }
})

const describe = (signature: Signature.Signature): Map<string, string> =>
  new Map(signature.outputs.map((output) => [output.name, output.datatype]))

/** Callers must find every output they use today. */
const signatureCheck = (
  challenger: Signature.Signature,
  champion: Signature.Signature | undefined,
): Check => {
  const name = "signature"
  if (champion === undefined)
    return { name, passed: true, message: "there is no champion to be compatible with" }
  const now = describe(challenger)
  const lost = [...describe(champion)].filter(([output, type]) => now.get(output) !== type)
  const [before, after] = [featureNames(champion), featureNames(challenger)]
  const added = after.filter((feature) => !before.includes(feature))
  const inputs = added.length === 0 ? "" : `; it takes new features ${added.join(", ")}`
  return lost.length === 0
    ? { name, passed: true, message: `the challenger gives every output of the champion${inputs}` }
    : {
        name,
        passed: false,
        message: `the challenger lacks the champion's ${lost.map(([output, type]) => `'${output}' (${type})`).join(", ")}; callers would break`,
      }
}

/** Per-row gain of the challenger. */
const gains = (
  metric: "log_loss" | "brier" | "accuracy",
  labels: Float64Array,
  challenger: Float64Array,
  champion: Float64Array,
): Float64Array => {
  const losses = (scores: Float64Array): Float64Array =>
    metric === "log_loss"
      ? logLosses(labels, scores)
      : metric === "brier"
        ? squaredErrors(labels, scores)
        : labels.map((label, i) => (((scores[i] as number) >= 0.5 ? 1 : 0) === label ? 0 : 1))
  const [mine, theirs] = [losses(challenger), losses(champion)]
  return mine.map((loss, i) => (theirs[i] as number) - loss)
}

const round = (value: number): string => value.toPrecision(4)

const metricChecks = (
  request: typeof Request.Type,
  options: GateOptions,
  labels: Float64Array,
  challenger: Float64Array,
  champion: Float64Array | undefined,
): ReadonlyArray<Check> => {
  const { metric, minimumGain = 0, alpha = 0.05 } = request
  const mine = Performance.compute(metric, labels, challenger)
  const name = ModelRef.format(request.challenger)
  if (champion === undefined || request.champion === undefined) {
    return [
      {
        name: metric,
        passed: Number.isFinite(mine),
        ...(Number.isFinite(mine) ? { observed: mine } : {}),
        message: `${metric} of ${name} is ${round(mine)}; there is no champion to beat`,
      },
    ]
  }
  const theirs = Performance.compute(metric, labels, champion)
  const gain = Performance.lowerIsBetter.has(metric) ? theirs - mine : mine - theirs
  const tested =
    metric === "auc"
      ? { test: "DeLong's test", p: deLong(labels, challenger, champion).pValue }
      : {
          test: "a paired bootstrap",
          p: pairedBootstrap(gains(metric, labels, challenger, champion), {
            seed: options.seed ?? 0,
            alpha,
          }).pValue,
        }
  const against = ModelRef.format(request.champion)
  return [
    {
      name: metric,
      passed: gain >= minimumGain,
      observed: gain,
      required: minimumGain,
      message: `${metric} is ${round(mine)} for ${name} and ${round(theirs)} for ${against}: a gain of ${round(gain)}, ${gain >= minimumGain ? "enough" : "but not enough"} for the ${minimumGain} required`,
    },
    {
      name: "significance",
      passed: tested.p <= alpha,
      observed: tested.p,
      required: alpha,
      message: `by ${tested.test}, a gain like this comes by chance with p = ${round(tested.p)}; at most ${alpha} is allowed`,
    },
  ]
}

const make = (options: GateOptions) =>
  Effect.gen(function* () {
    const predictor = yield* Predictor.Predictor
    const read = options.read ?? readFileRef

    const compare = Effect.fnUntraced(function* (input: PromotionGate.GateRequest) {
      const request = yield* decodeRequest(input)
      const { champion, evaluation, label } = request
      const ours = yield* predictor.signature(request.challenger)
      const theirs = champion === undefined ? undefined : yield* predictor.signature(champion)
      const dataset = yield* read(evaluation)
      if (
        evaluation.digest !== undefined &&
        (yield* Dataset.digest(dataset)) !== evaluation.digest
      ) {
        return yield* new GateError({
          reason: "InvalidInput",
          message: `the evaluation data '${evaluation.name}' is not what its digest says; write it again`,
          field: "evaluation.digest",
        })
      }
      const features = [
        ...featureNames(ours),
        ...(theirs === undefined ? [] : featureNames(theirs)),
      ]
      const { columns, labels } = yield* readEvaluation(dataset, label, features)
      const minimum = options.minimumRows ?? 100
      const positives = labels.reduce((sum, value) => sum + value, 0)
      const enough = labels.length >= minimum && positives > 0 && positives < labels.length
      const rows: Check = {
        name: "evaluation",
        passed: enough,
        observed: labels.length,
        required: minimum,
        message: enough
          ? `${labels.length} labelled rows, ${positives} of them positive`
          : `${labels.length} labelled rows, ${positives} of them positive; at least ${minimum} rows with both classes are needed`,
      }
      const signature = signatureCheck(ours, theirs)
      if (!enough) return { passed: false, checks: [signature, rows] }
      const shared = theirs === undefined ? undefined : scoreOutput(theirs, undefined)
      const output = ours.outputs.find((each) => each.name === shared)?.name
      const scores = (model: ModelRef.ModelRef, of: Signature.Signature, wanted?: string) =>
        Effect.provideService(
          predictScores({ model, signature: of, columns, rows: labels.length, output: wanted }),
          Predictor.Predictor,
          predictor,
        )
      const mine = yield* scores(request.challenger, ours, output)
      const champions =
        champion === undefined || theirs === undefined
          ? undefined
          : yield* scores(champion, theirs, shared)
      const measured = yield* Effect.try({
        try: () => metricChecks(request, options, labels, mine, champions),
        catch: toGateError,
      })
      const checks = [signature, rows, ...measured]
      return { passed: checks.every((check) => check.passed), checks }
    })

    return PromotionGate.PromotionGate.of({
      compare: (request) => Effect.mapError(compare(request), toGateError),
    })
  })

/** Core's `PromotionGate`, on core's `Predictor`. */
export const layer = (
  options: GateOptions = {},
): Layer.Layer<PromotionGate.PromotionGate, never, Predictor.Predictor> =>
  Layer.effect(PromotionGate.PromotionGate, make(options))
