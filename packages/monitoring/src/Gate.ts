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
import { attempt } from "./internal/scan.ts"
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

const refuse = (message: string, field: string): GateError =>
  new GateError({ reason: "InvalidInput", message, field })

/** The evaluation must have the columns; better known before any row is predicted. */
const lacking = (dataset: Dataset.Dataset, names: ReadonlyArray<string>): GateError | undefined => {
  const has = new Set(dataset.schema.fields.map((field) => field.name))
  const missing = names.filter((name) => !has.has(name))
  if (missing.length === 0) return undefined
  return refuse(
    `the evaluation data lacks ${missing.map((name) => `'${name}'`).join(", ")}; it has ${[...has].join(", ")}`,
    "evaluation",
  )
}

/** Features and labels of the labelled rows of a batch. */
interface Rows {
  readonly columns: ReadonlyMap<string, Float64Array>
  readonly labels: Float64Array
}

/** Reads a batch that starts at a row of the evaluation. */
const readRows = Effect.fnUntraced(function* (
  batch: Parameters<typeof readColumns>[0],
  first: number,
  label: string,
  features: ReadonlyArray<string>,
) {
  const names = [...new Set([...features, label])]
  const read = yield* readColumns(batch, names)
  const text = names.find((name) => Array.isArray(read[name]))
  if (text !== undefined) {
    return yield* refuse(
      `column '${text}' of the evaluation data is text; encode it as the models take it`,
      `evaluation.${text}`,
    )
  }
  const labels = read[label] as ArrayLike<number>
  const kept = new Int32Array(labels.length)
  let count = 0
  for (let i = 0; i < labels.length; i++) {
    const value = labels[i] as number
    if (Number.isNaN(value)) continue
    if (value !== 0 && value !== 1) {
      return yield* refuse(
        `label '${label}' row ${first + i} is ${value}; labels are 0 and 1, or missing`,
        `evaluation.${label}`,
      )
    }
    kept[count++] = i
  }
  const pick = (name: string): Float64Array => {
    const column = read[name] as ArrayLike<number>
    return Float64Array.from(kept.subarray(0, count), (row) => column[row] as number)
  }
  const columns = new Map(features.map((name) => [name, pick(name)]))
  const rows: Rows = { columns, labels: pick(label) }
  return rows
})

const describe = (signature: Signature.Signature): Map<string, string> =>
  new Map(signature.outputs.map((output) => [output.name, output.datatype]))

/** The first few names, and how many more there are. */
const some = (names: ReadonlyArray<string>): string =>
  names.length <= 5
    ? names.join(", ")
    : `${names.slice(0, 5).join(", ")} and ${names.length - 5} more`

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
  const inputs = added.length === 0 ? "" : `; it takes new features ${some(added)}`
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
        ...new Set([...featureNames(ours), ...(theirs === undefined ? [] : featureNames(theirs))]),
      ]
      const lacks = lacking(dataset, [...features, label])
      if (lacks !== undefined) return yield* lacks
      const shared =
        theirs === undefined ? undefined : yield* attempt(() => scoreOutput(theirs, undefined))
      const output = ours.outputs.find((each) => each.name === shared)?.name
      const scores = (
        model: ModelRef.ModelRef,
        of: Signature.Signature,
        { columns, labels }: Rows,
        wanted?: string,
      ) =>
        Effect.provideService(
          predictScores({ model, signature: of, columns, rows: labels.length, output: wanted }),
          Predictor.Predictor,
          predictor,
        )
      // Labels and scores stay; the features of a batch go when it is predicted.
      const parts = {
        labels: [] as Array<Float64Array>,
        mine: [] as Array<Float64Array>,
        champions: [] as Array<Float64Array>,
      }
      let seen = 0
      yield* Stream.runForEach(dataset.batches, (batch) =>
        Effect.gen(function* () {
          const part = yield* readRows(batch, seen, label, features)
          seen += batch.numRows
          parts.labels.push(part.labels)
          parts.mine.push(yield* scores(request.challenger, ours, part, output))
          if (champion === undefined || theirs === undefined) return
          parts.champions.push(yield* scores(champion, theirs, part, shared))
        }),
      )
      const whole = (of: ReadonlyArray<Float64Array>): Float64Array =>
        of.length === 0 ? new Float64Array(0) : (concat(of) as Float64Array)
      const labels = whole(parts.labels)
      const minimum = options.minimumRows ?? 100
      const positives = labels.reduce((sum, value) => sum + value, 0)
      const enough = labels.length >= minimum && positives >= 2 && labels.length - positives >= 2
      const rows: Check = {
        name: "evaluation",
        passed: enough,
        observed: labels.length,
        required: minimum,
        message: enough
          ? `${labels.length} labelled rows, ${positives} of them positive`
          : `${labels.length} labelled rows, ${positives} of them positive; at least ${minimum} rows and two rows of each class are needed`,
      }
      const signature = signatureCheck(ours, theirs)
      if (!enough) return { passed: false, checks: [signature, rows] }
      const mine = whole(parts.mine)
      const champions = champion === undefined ? undefined : whole(parts.champions)
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
