/**
 * A training table in memory: float32 feature columns and a float32 label.
 *
 * @module
 */
import { Digest } from "@ashlar/core"
import type { Dataset } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { ColumnBuilder } from "./internal/columns.ts"
import { makeColumn } from "./internal/columns.ts"
import { invalid, TrainingError } from "./TrainingError.ts"

/** Columns of equal length. NaN in a feature is a missing value; a label is never NaN. */
export interface Frame {
  readonly rows: number
  readonly features: ReadonlyArray<string>
  /** One column for each feature; in shared memory when made by {@link fromDataset}. */
  readonly columns: ReadonlyArray<Float32Array>
  readonly label: Float32Array
  /** Features whose values are category codes, whole numbers from 0 to 65535. */
  readonly categorical: ReadonlyArray<string>
}

/** Which columns of a dataset to take. */
export interface Selection {
  readonly features: ReadonlyArray<string>
  readonly label: string
  readonly categorical?: ReadonlyArray<string> | undefined
}

/**
 * Checks columns and makes a frame of them.
 *
 * Fails with `InvalidInput` when lengths differ, a name repeats, a label is NaN or infinite, or
 * there is no row or no feature.
 */
export const make = (
  input: Omit<Frame, "rows" | "categorical"> & {
    readonly categorical?: ReadonlyArray<string> | undefined
  },
): Effect.Effect<Frame, TrainingError> => {
  const { features, columns, label, categorical = [] } = input
  const fail = (field: string, message: string) => Effect.fail(invalid(field, message))
  if (features.length === 0)
    return fail("features", "A frame needs at least one feature; name the columns to learn from.")
  if (new Set(features).size !== features.length)
    return fail("features", "Feature names repeat; name each column once.")
  if (columns.length !== features.length) {
    return fail(
      "columns",
      `There are ${columns.length} columns for ${features.length} features; give one for each.`,
    )
  }
  if (label.length === 0) return fail("label", "The frame has no rows; training needs data.")
  const short = columns.findIndex((column) => column.length !== label.length)
  if (short >= 0) {
    return fail(
      `columns[${short}]`,
      `Feature ${features[short]} has ${columns[short]?.length} values for ${label.length} labels; the lengths must be equal.`,
    )
  }
  const unknown = categorical.find((name) => !features.includes(name))
  if (unknown !== undefined)
    return fail("categorical", `${unknown} is not among the features; categorical names features.`)
  const bad = label.findIndex((y) => !Number.isFinite(y))
  if (bad >= 0) {
    return fail(
      `label[${bad}]`,
      `The label of row ${bad} is ${label[bad]}; drop rows without a finite label before training.`,
    )
  }
  return Effect.succeed({ rows: label.length, features, columns, label, categorical })
}

/**
 * Reads the selected columns of a dataset into a frame. Numbers and booleans become float32, null
 * becomes NaN; 64-bit integers and timestamps keep 24 bits of precision.
 *
 * Fails with `InvalidInput` for a missing column, a type that is no number, or a null label.
 */
export const fromDataset = Effect.fnUntraced(function* (
  dataset: Dataset.Dataset,
  selection: Selection,
) {
  const names = [...selection.features, selection.label]
  const columns: Array<{ readonly index: number; readonly made: ColumnBuilder }> = []
  for (const [i, name] of names.entries()) {
    const field = i < selection.features.length ? `features[${i}]` : "label"
    const index = dataset.schema.fields.findIndex((column) => column.name === name)
    const column = dataset.schema.fields[index]
    if (column === undefined) {
      const have = dataset.schema.fields.map((f) => f.name).join(", ")
      return yield* invalid(field, `The dataset has no column ${name}; it has ${have}.`)
    }
    const made = yield* Effect.try({
      try: () => makeColumn(column.type, dataset.rows),
      catch: (cause) =>
        new TrainingError({
          reason: "TooLarge",
          message: `The dataset says it has ${dataset.rows} rows, which do not fit in memory; sample them, or take fewer columns.`,
          cause,
        }),
    })
    if (made === undefined) {
      return yield* invalid(
        field,
        `Column ${name} is ${String(column.type)}, which is no number; encode it as numbers (category codes for strings) first.`,
      )
    }
    columns.push({ index, made })
  }
  yield* dataset.batches.pipe(
    Stream.runForEach((batch) =>
      Effect.try({
        try: () => {
          for (const { index, made } of columns) {
            const vector = batch.getChildAt(index)
            if (vector !== null) made.append(vector)
          }
        },
        catch: (cause) =>
          new TrainingError({
            reason: cause instanceof RangeError ? "TooLarge" : "Internal",
            message: `The rows do not fit in memory (${String(cause)}); sample them, or take fewer columns.`,
            cause,
          }),
      }),
    ),
    Effect.mapError((cause) =>
      cause instanceof TrainingError
        ? cause
        : new TrainingError({
            reason:
              cause.reason === "Unavailable" ||
              cause.reason === "Corrupt" ||
              cause.reason === "NotFound"
                ? cause.reason
                : "Internal",
            message: `The dataset could not be read: ${cause.message}`,
            cause,
          }),
    ),
  )
  const values = columns.map(({ made }) => made.finish())
  return yield* make({
    features: selection.features,
    columns: values.slice(0, -1),
    label: values[values.length - 1] ?? new Float32Array(),
    categorical: selection.categorical,
  })
})

/** Digest of a frame's names and values: the identity of what a model was trained on. */
export const digest = Effect.fnUntraced(function* (frame: Frame) {
  const hash = Digest.start()
  hash.update(Digest.canonicalJson([frame.features, frame.categorical, frame.rows]))
  for (const column of [...frame.columns, frame.label]) {
    hash.update(new Uint8Array(column.buffer, column.byteOffset, column.byteLength))
    // Hashing a large table takes a while: let the event loop run between columns.
    yield* Effect.yieldNow
  }
  return Digest.finish(hash)
})
