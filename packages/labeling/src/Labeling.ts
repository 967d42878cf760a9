/**
 * Labels tables with noisy rules: runs labeling functions, combines their votes, and separates
 * rows by class with the reasons beside each row.
 *
 * @module
 */
import { Dataset, Failure } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { LabelingFunction } from "./LabelingFunction.ts"
import * as LabelModel from "./LabelModel.ts"
import * as VoteMatrix from "./VoteMatrix.ts"

/** Rows could not be labeled. */
export class LabelingError extends Schema.TaggedError<LabelingError>()(
  "LabelingError",
  Failure.fields(["InvalidInput", "TooLarge", "Internal"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** What to label, and by which rules. */
export interface WeakLabelRequest {
  readonly dataset: Dataset.Dataset
  /** Names of the classes; a vote is an index into them. */
  readonly classes: ReadonlyArray<string>
  readonly functions: ReadonlyArray<LabelingFunction>
  readonly fit?: LabelModel.FitOptions
}

/** A label and its probability for every row, and what the rules did. */
export interface WeakLabels {
  /** Most likely class of each row, an index into the classes. */
  readonly labels: Int32Array
  /** Probability of that class. */
  readonly confidence: Float64Array
  readonly votes: VoteMatrix.VoteMatrix
  readonly model: LabelModel.LabelModel
  readonly statistics: ReadonlyArray<VoteMatrix.FunctionStatistics>
}

/** Asks to keep the rows of one class. */
export interface SeparateRequest extends WeakLabelRequest {
  readonly keep: string
}

/** The rows of the wanted class, and the others with the reasons. */
export interface Separated extends WeakLabels {
  readonly kept: Dataset.Dataset
  /**
   * The other rows, with columns `label` (class), `confidence` and `reasons` (the functions that
   * voted against keeping, joined by `, `).
   */
  readonly dropped: Dataset.Dataset
}

/** Labels tables with rules. */
export class Labeling extends Context.Service<
  Labeling,
  {
    readonly weakLabel: (
      request: WeakLabelRequest,
    ) => Effect.Effect<WeakLabels, LabelingError | Dataset.DatasetError>
    readonly separate: (
      request: SeparateRequest,
    ) => Effect.Effect<Separated, LabelingError | Dataset.DatasetError>
  }
>()("@ashlar/labeling/Labeling/v1") {}

const invalid = (field: string, message: string) =>
  new LabelingError({ reason: "InvalidInput", field, message })

const weakLabel = Effect.fn("Labeling.weakLabel")(function* (request: WeakLabelRequest) {
  const { classes, functions } = request
  if (classes.length < 2 || classes.length > 100 || new Set(classes).size !== classes.length) {
    return yield* invalid(
      "classes",
      `classes ${JSON.stringify(classes.slice(0, 5))}: name 2 to 100 different classes`,
    )
  }
  const names = functions.map((f) => f.name)
  if (functions.length === 0 || new Set(names).size !== names.length) {
    return yield* invalid(
      "functions",
      `functions ${JSON.stringify(names)}: give at least one, each with its own name`,
    )
  }
  const table = yield* Dataset.table(request.dataset)
  const columns: Array<Int8Array> = []
  for (const labeler of functions) {
    columns.push(
      yield* Effect.try({
        try: () => labeler.vote(table),
        catch: (cause) =>
          new LabelingError({
            reason: "InvalidInput",
            field: labeler.name,
            message: `labeling function ${labeler.name} failed: ${cause instanceof Error ? cause.message : String(cause)}`,
            cause,
          }),
      }),
    )
    // Rules over millions of rows take a while: let others run in between.
    yield* Effect.yieldNow
  }
  const votes = yield* Effect.try({
    try: () => VoteMatrix.make(names, classes, columns),
    catch: (cause) => invalid("functions", cause instanceof Error ? cause.message : String(cause)),
  })
  const model = LabelModel.fit(votes, request.fit)
  const { labels, confidence } = LabelModel.predict(model, votes)
  return { labels, confidence, votes, model, statistics: VoteMatrix.statistics(votes) }
})

const separate = Effect.fn("Labeling.separate")(function* (request: SeparateRequest) {
  const keep = request.classes.indexOf(request.keep)
  if (keep < 0) {
    return yield* invalid(
      "keep",
      `keep ${JSON.stringify(request.keep)} is not one of the classes ${JSON.stringify(request.classes)}`,
    )
  }
  const result = yield* weakLabel(request)
  const { labels, confidence } = result
  const mask = Uint8Array.from(labels, (label) => (label === keep ? 1 : 0))
  const droppedRows = Int32Array.from(
    { length: labels.length - mask.reduce((sum, bit) => sum + bit, 0) },
    () => 0,
  )
  let next = 0
  for (let i = 0; i < labels.length; i++) if (mask[i] === 0) droppedRows[next++] = i
  const reasonOf = reasons(result.votes, keep)
  const others = yield* Dataset.take(request.dataset, droppedRows)
  const dropped = yield* Dataset.withColumns(others, {
    // Said to be text, because there may be no row to tell from.
    label: { strings: Array.from(droppedRows, (row) => request.classes[labels[row] ?? 0] ?? "") },
    confidence: Float64Array.from(droppedRows, (row) => confidence[row] ?? 0),
    reasons: { strings: Array.from(droppedRows, (row) => reasonOf(row)) },
  })
  return { ...result, kept: yield* Dataset.filter(request.dataset, mask), dropped }
})

/** Names of the functions that voted for another class, by row. */
const reasons = (votes: VoteMatrix.VoteMatrix, keep: number) => {
  const m = votes.functions.length
  const byPattern = Array.from(votes.counts, (_, p) =>
    votes.functions
      .filter((_name, j) => {
        const vote = votes.votes[p * m + j] ?? -1
        return vote >= 0 && vote !== keep
      })
      .join(", "),
  )
  return (row: number): string => byPattern[votes.patternOf[row] ?? 0] ?? ""
}

/** The service; it keeps no state. */
export const layer: Layer.Layer<Labeling> = Layer.succeed(
  Labeling,
  Labeling.of({ weakLabel, separate }),
)
