/**
 * What to fit and what to search, as users ask for it.
 *
 * @module
 */
import { Dataset, Name } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Space } from "./Distribution.ts"
import * as Frame from "./Frame.ts"
import type { Progress } from "./Trainer.ts"
import { invalid } from "./TrainingError.ts"
import type { TrainingError } from "./TrainingError.ts"

const ParamValue = Schema.Union([Schema.String, Schema.Finite, Schema.Boolean])

const Input = Schema.Struct({
  ...Dataset.DatasetRef.fields,
  context: Schema.optionalKey(Schema.String),
})

const common = {
  /** Experiment of the run tracker that holds the runs. */
  experiment: Name.Name,
  /** Name of a trainer the service was made with, e.g. `gradient-boosting`. */
  trainer: Schema.NonEmptyString,
  seed: Schema.Int,
  /** Idempotency key: what finished under this key is not done again. */
  key: Schema.NonEmptyString,
  /** Parameters that are not searched. */
  params: Schema.optionalKey(Schema.Record(Schema.String, ParamValue)),
  /** Version of the code, e.g. a git commit; recorded with every run. */
  codeVersion: Schema.optionalKey(Schema.String),
  tags: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  /** Where the data came from; recorded beside the digest of what was read. */
  inputs: Schema.optionalKey(Schema.Array(Input)),
  /** Threads at most, within what the service may use. */
  threads: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
}

const columns = {
  features: Schema.NonEmptyArray(Schema.NonEmptyString),
  label: Schema.NonEmptyString,
  /** Features that hold category codes. */
  categorical: Schema.optionalKey(Schema.Array(Schema.NonEmptyString)),
}

/** Schema of a fit's settings. */
export const FitSettings = Schema.Struct(common)

/** Schema of a search's settings. */
export const SearchSettings = Schema.Struct({
  ...common,
  /** What to search. */
  space: Space,
  trials: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 })),
  /** Validation metric to make best: `auc`, `logloss`, `rmse`. */
  metric: Schema.NonEmptyString,
  /** Default: `maximize` for `auc`, else `minimize`. */
  direction: Schema.optionalKey(Schema.Literals(["maximize", "minimize"])),
  /** Default `tpe`. */
  sampler: Schema.optionalKey(Schema.Literals(["tpe", "random"])),
  /** Parameters to try first, in order, before the sampler is asked. */
  enqueue: Schema.optionalKey(Schema.Array(Schema.Record(Schema.String, ParamValue))),
})

const Columns = Schema.Struct(columns)

/** Data to learn from: datasets with the columns to take, or frames as they are. */
export type Data =
  | {
      readonly train: Dataset.Dataset
      readonly validation?: Dataset.Dataset | undefined
      readonly features: ReadonlyArray<string>
      readonly label: string
      readonly categorical?: ReadonlyArray<string> | undefined
    }
  | { readonly train: Frame.Frame; readonly validation?: Frame.Frame | undefined }

/** Told of the progress inside a trial. */
export interface TrialProgress extends Progress {
  readonly trial: number
  readonly trials: number
}

interface Listener {
  readonly onProgress?: ((progress: TrialProgress) => void) | undefined
}

/** One model to fit. */
export type FitRequest = typeof FitSettings.Encoded & Data & Listener

/** A search over hyper-parameters. The validation data decides. */
export type SearchRequest = typeof SearchSettings.Encoded & Data & Listener

/** Splits a request into its checked settings and its data. */
export const decode = <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S,
  request: object,
): Effect.Effect<S["Type"], TrainingError> =>
  Schema.decodeUnknownEffect(schema)(request).pipe(
    Effect.mapError((cause) => invalid("request", `The request is not usable: ${cause.message}`)),
  )

const isFrame = (data: Dataset.Dataset | Frame.Frame): data is Frame.Frame => "columns" in data

const frameOf = (data: Dataset.Dataset | Frame.Frame, selection: object) =>
  isFrame(data)
    ? Frame.make(data)
    : Effect.flatMap(decode(Columns, selection), (checked) => Frame.fromDataset(data, checked))

/** The frames of a request. */
export const framesOf = Effect.fnUntraced(function* (data: Data) {
  const train = yield* frameOf(data.train, data)
  const validation =
    data.validation === undefined ? undefined : yield* frameOf(data.validation, data)
  return { train, validation }
})
