/**
 * Why a model said what it said: Shapley values of every feature, exact for tree ensembles in ONNX,
 * sampled for any other model.
 *
 * @module
 */
import { readFile } from "node:fs/promises"
import { isAbsolute, relative, resolve } from "node:path"
import {
  Dataset,
  type ModelPackage,
  type ModelRef,
  type PredictionEvent,
  Predictor,
} from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { readColumns } from "./internal/arrow-columns.ts"
import { parse } from "./internal/onnx.ts"
import { featureNames, predictScores } from "./internal/predict-rows.ts"
import { plan } from "./internal/sampling.ts"
import { attempt } from "./internal/scan.ts"
import { type Matrix, treeShapSteps } from "./internal/tree-shap.ts"
import { ensembleOf } from "./internal/trees.ts"
import { MonitoringError } from "./MonitoringError.ts"

/** Attributions of every row: `base + Σ values = output` to rounding. */
export interface Explanation {
  readonly columns: ReadonlyArray<string>
  readonly rows: number
  /** rows x columns, row-major. */
  readonly values: Float64Array
  /** The expected output over the background. */
  readonly base: number
  /** The model's output for each row, in the space that is explained. */
  readonly output: Float64Array
  /** `margin`: before the link function (log-odds of a classifier). `output`: the output itself. */
  readonly space: "margin" | "output"
  readonly method: "tree-path-dependent" | "sampling"
}

/** Rows to explain or to compare with: row-major float32 with NaN for missing, or a dataset. */
export type Rows = Float32Array | Dataset.Dataset

const invalid = (message: string, field: string): MonitoringError =>
  new MonitoringError({ reason: "InvalidInput", message, field })

/** The rows as one matrix with these columns. */
const matrixOf = (
  rows: Rows,
  columns: ReadonlyArray<string>,
  field: string,
): Effect.Effect<Matrix, MonitoringError | Dataset.DatasetError> => {
  const width = columns.length
  if (rows instanceof Float32Array) {
    if (width === 0 || rows.length % width !== 0) {
      return Effect.fail(
        invalid(`${field} has ${rows.length} values, no multiple of the ${width} columns`, field),
      )
    }
    return Effect.succeed({ data: rows, width })
  }
  const parts: Array<Float32Array> = []
  return rows.batches.pipe(
    Stream.runForEach((batch) =>
      Effect.flatMap(readColumns(batch, columns), (read) =>
        attempt(() => {
          const part = new Float32Array(batch.numRows * width)
          columns.forEach((name, j) => {
            const column = read[name]
            if (column === undefined || Array.isArray(column)) {
              throw invalid(
                `column '${name}' of ${field} is text; encode it as the model takes it`,
                name,
              )
            }
            for (let i = 0; i < batch.numRows; i++) part[i * width + j] = column[i] as number
          })
          parts.push(part)
        }),
      ),
    ),
    Effect.map(() => {
      const data = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0))
      let at = 0
      for (const part of parts) {
        data.set(part, at)
        at += part.length
      }
      return { data, width }
    }),
  )
}

/** Trees to explain. */
export interface TreeRequest {
  /** A model package whose entry is ONNX, or the bytes of an ONNX file. */
  readonly model: ModelPackage.ModelPackage | Uint8Array
  readonly rows: Rows
  /**
   * Rows that say how often each branch is taken, e.g. a thousand rows of the training data. May be
   * left out when the file has covers (`nodes_hitrates`).
   */
  readonly background?: Rows
  /** Feature names in the model's order; default from the package's signature. */
  readonly columns?: ReadonlyArray<string>
  /** Class or regression target; default the positive class of a binary classifier, else 0. */
  readonly target?: number
}

const entryOf = (model: ModelPackage.ModelPackage): Effect.Effect<Uint8Array, MonitoringError> => {
  const file = resolve(model.directory, model.manifest.entry)
  const inside = relative(resolve(model.directory), file)
  if (inside.startsWith("..") || isAbsolute(inside)) {
    return Effect.fail(
      invalid(`the entry '${model.manifest.entry}' lies outside of the package`, "package"),
    )
  }
  return Effect.tryPromise({
    try: () => readFile(file),
    catch: (cause) =>
      new MonitoringError({
        reason: "NotFound",
        message: `the model file '${model.manifest.entry}' cannot be read; fetch the package again`,
        field: "package",
        cause,
      }),
  })
}

const columnsOf = (request: TreeRequest, features: number): ReadonlyArray<string> => {
  const named =
    request.columns ??
    (request.model instanceof Uint8Array
      ? undefined
      : featureNames(request.model.manifest.signature))
  if (named === undefined) {
    throw invalid(
      "name the features of the ONNX file in 'columns', in the model's order",
      "columns",
    )
  }
  if (named.length < features) {
    throw invalid(
      `the model looks at ${features} features and ${named.length} columns are named`,
      "columns",
    )
  }
  return named
}

/**
 * Exact path-dependent TreeSHAP of an ONNX tree ensemble (`TreeEnsembleClassifier`,
 * `TreeEnsembleRegressor`, `TreeEnsemble`), in the space of the summed leaves: log-odds of a binary
 * classifier. Fails with `NotSupported` for models without one summed tree ensemble.
 */
export const explain: (
  request: TreeRequest,
) => Effect.Effect<Explanation, MonitoringError | Dataset.DatasetError> = Effect.fnUntraced(
  function* (request) {
    const bytes =
      request.model instanceof Uint8Array ? request.model : yield* entryOf(request.model)
    const ensemble = yield* attempt(() => ensembleOf(parse(bytes), request.target))
    const columns = yield* attempt(() => columnsOf(request, ensemble.features))
    const rows = yield* matrixOf(request.rows, columns, "rows")
    const background =
      request.background === undefined
        ? undefined
        : yield* matrixOf(request.background, columns, "background")
    if (background === undefined && ensemble.trees.some((tree) => tree.nodeCover === undefined)) {
      return yield* invalid(
        "the model file does not say how many rows took each branch; pass 'background', e.g. a thousand training rows",
        "background",
      )
    }
    if (background !== undefined && background.data.length === 0) {
      return yield* invalid("background has no rows", "background")
    }
    const steps = treeShapSteps(ensemble, rows, background)
    let step = yield* attempt(() => steps.next())
    while (step.done !== true) {
      // A tree takes milliseconds; between two of them, others get their turn.
      yield* Effect.yieldNow
      step = yield* attempt(() => steps.next())
    }
    const made = step.value
    return {
      columns,
      rows: made.output.length,
      ...made,
      space: "margin" as const,
      method: "tree-path-dependent" as const,
    }
  },
)

/** A function to explain by sampling. */
export interface SampleRequest<E, R> {
  /** Scores of `rows` rows of a row-major matrix. */
  readonly predict: (data: Float32Array, rows: number) => Effect.Effect<ArrayLike<number>, E, R>
  readonly rows: Rows
  readonly background: Rows
  readonly columns: ReadonlyArray<string>
  /** Predictions to spend on each row; default 2048. Exact when 2^columns x background rows fit. */
  readonly evaluations?: number
  /** Same seed, same values; default 0. */
  readonly seed?: number
}

/**
 * Shapley values of any function (interventional: absent features come from background rows), by
 * antithetic permutation walks, or by enumeration when the budget allows.
 *
 * @example
 * ```ts
 * import { Explanation } from "@ashlar/monitoring"
 * import * as Effect from "effect/Effect"
 *
 * const predict = (data: Float32Array, rows: number) =>
 *   Effect.succeed(Array.from({ length: rows }, (_, i) => 3 * (data[2 * i] ?? 0) - (data[2 * i + 1] ?? 0)))
 * const made = Effect.runSync(
 *   Explanation.sample({ predict, rows: Float32Array.of(1, 2), background: Float32Array.of(0, 0), columns: ["a", "b"] }),
 * )
 * Array.from(made.values) // => [3, -2]
 * ```
 */
export const sample = <E, R>(
  request: SampleRequest<E, R>,
): Effect.Effect<Explanation, E | MonitoringError | Dataset.DatasetError, R> =>
  Effect.gen(function* () {
    const { columns, evaluations = 2048, seed = 0 } = request
    const rows = yield* matrixOf(request.rows, columns, "rows")
    const background = yield* matrixOf(request.background, columns, "background")
    if (background.data.length === 0) return yield* invalid("background has no rows", "background")
    const width = columns.length
    if (evaluations < 2 * (width + 1)) {
      return yield* invalid(
        `evaluations is ${evaluations}; ${width} columns need at least ${2 * (width + 1)}`,
        "evaluations",
      )
    }
    const steps = plan(width, background, evaluations, seed)
    const n = rows.data.length / width
    const scored = Effect.fnUntraced(function* (data: Float32Array) {
      const scores = Float64Array.from(yield* request.predict(data, data.length / width))
      if (scores.length === data.length / width && scores.every(Number.isFinite)) return scores
      return yield* invalid(
        `predict gave ${scores.length} scores for ${data.length / width} rows, or one that is not finite`,
        "predict",
      )
    })
    const of = yield* scored(steps.background)
    const base = of.reduce((sum, value) => sum + value, 0) / of.length
    const output = yield* scored(rows.data)
    const values = new Float64Array(rows.data.length)
    const data = new Float32Array(steps.rows * width)
    for (let row = 0; row < n; row++) {
      steps.fill(rows.data.subarray(row * width, (row + 1) * width), data)
      steps.combine(yield* scored(data), values, row * width)
    }
    return { columns, rows: n, values, base, output, space: "output", method: "sampling" }
  })

/** A served model to explain by sampling. */
export interface PredictorRequest {
  readonly model: ModelRef.ModelRef
  readonly rows: Rows
  readonly background: Rows
  /** Float output to explain; default the first. */
  readonly output?: string
  readonly evaluations?: number
  readonly seed?: number
}

/** {@link sample} of a model behind core's `Predictor`; columns come from its signature. */
export const explainPredictor: (
  request: PredictorRequest,
) => Effect.Effect<
  Explanation,
  MonitoringError | Dataset.DatasetError | Predictor.PredictorError,
  Predictor.Predictor
> = Effect.fnUntraced(function* (request) {
  const predictor = yield* Predictor.Predictor
  const signature = yield* predictor.signature(request.model)
  const columns = featureNames(signature)
  const { model, output, rows, background, evaluations, seed } = request
  return yield* sample({
    rows,
    background,
    columns,
    ...(evaluations === undefined ? {} : { evaluations }),
    ...(seed === undefined ? {} : { seed }),
    predict: (data, count) => {
      const byName = new Map(
        columns.map((name, j) => [
          name,
          Float32Array.from({ length: count }, (_, i) => data[i * columns.length + j] as number),
        ]),
      )
      return predictScores({ model, signature, columns: byName, rows: count, output })
    },
  })
})

const encoded = (value: number | string | null | undefined, name: string): number => {
  if (typeof value === "string") {
    throw invalid(`feature '${name}' is the text '${value}'; encode it as the model takes it`, name)
  }
  return value ?? Number.NaN
}

/**
 * Rows to explain from records of features, e.g. of `worstMisses`; what a record lacks is missing.
 * Throws `MonitoringError` for text.
 *
 * @example
 * ```ts
 * import { Explanation } from "@ashlar/monitoring"
 *
 * Explanation.fromRecords([{ distance: 337, hour: null }], ["hour", "distance"]) // => Float32Array.of(Number.NaN, 337)
 * ```
 */
export const fromRecords = (
  records: ReadonlyArray<Readonly<Record<string, number | string | null>>>,
  columns: ReadonlyArray<string>,
): Float32Array =>
  Float32Array.from(
    records.flatMap((record) =>
      columns.map((name) => encoded(Object.hasOwn(record, name) ? record[name] : null, name)),
    ),
  )

/** The same from columns, e.g. the background from `recentFeatures`. */
export const fromColumns = (
  data: Readonly<Record<string, PredictionEvent.Column>>,
  columns: ReadonlyArray<string>,
): Float32Array => {
  const rows = Math.max(0, ...Object.values(data).map((column) => column.length))
  const out = new Float32Array(rows * columns.length)
  columns.forEach((name, j) => {
    const column = Object.hasOwn(data, name) ? data[name] : undefined
    for (let i = 0; i < rows; i++) out[i * columns.length + j] = encoded(column?.[i], name)
  })
  return out
}

/** The columns of one explained row by falling absolute attribution. */
export const top = (
  explanation: Explanation,
  row: number,
  limit: number = explanation.columns.length,
): ReadonlyArray<{ readonly column: string; readonly value: number }> => {
  const width = explanation.columns.length
  return explanation.columns
    .map((column, j) => ({ column, value: explanation.values[row * width + j] ?? 0 }))
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value))
    .slice(0, limit)
}
