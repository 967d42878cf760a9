/**
 * Refuses batches that could not be read back: wrong lengths, types, times or ids.
 *
 * @module
 */
import { PredictionSink, type PredictionEvent } from "@ashlar/core"
import type { Column } from "./column-state.ts"

type Reason = PredictionSink.PredictionSinkError["reason"]

/** Rows one call may carry. */
export const maxBatch = 100_000
const maxColumns = 4096
const maxText = 1024

const refuse = (message: string, field: string, reason: Reason = "InvalidInput"): never => {
  throw new PredictionSink.PredictionSinkError({ reason, message, field })
}

const checkText = (value: unknown, field: string): void => {
  if (typeof value !== "string" || value === "" || value.length > maxText) {
    refuse(`${field} must be a string of 1 to ${maxText} characters`, field)
  }
}

const checkIds = (batch: {
  readonly model: string
  readonly predictionIds: ReadonlyArray<string>
  readonly times: Float64Array
}): void => {
  checkText(batch.model, "model")
  const ids = batch.predictionIds
  const rows = ids.length
  if (rows > maxBatch) {
    refuse(
      `the batch has ${rows} rows, at most ${maxBatch} fit; send it in parts`,
      "predictionIds",
      "TooLarge",
    )
  }
  if (!(batch.times instanceof Float64Array) || batch.times.length !== rows) {
    refuse(`times must be a Float64Array with one value for each of the ${rows} ids`, "times")
  }
  for (let i = 0; i < rows; i++) {
    const id = ids[i]
    if (typeof id !== "string" || id === "" || id.length > maxText) {
      refuse(
        `predictionIds[${i}] must be a string of 1 to ${maxText} characters`,
        `predictionIds[${i}]`,
      )
    }
    if (!Number.isSafeInteger(batch.times[i])) {
      refuse(
        `times[${i}] is ${batch.times[i]}; give whole microseconds since 1970, UTC`,
        `times[${i}]`,
      )
    }
  }
}

const checkColumn = (column: Column, rows: number, field: string): void => {
  const known =
    column instanceof Float32Array ||
    column instanceof Float64Array ||
    column instanceof Int32Array ||
    Array.isArray(column)
  if (!known)
    refuse(`${field} must be a Float32Array, Float64Array, Int32Array or array of strings`, field)
  if (column.length !== rows) {
    refuse(`${field} has ${column.length} values for ${rows} ids; give one for each`, field)
  }
  if (!Array.isArray(column)) return
  column.forEach((value: unknown, i) => {
    if (value !== null && (typeof value !== "string" || value.length > maxText)) {
      refuse(
        `${field}[${i}] must be null or a string of at most ${maxText} characters`,
        `${field}[${i}]`,
      )
    }
  })
}

/** Throws `PredictionSinkError` unless the batch can be stored. */
export const checkPredictions = (batch: PredictionEvent.PredictionBatch): void => {
  checkIds(batch)
  checkText(batch.version, "version")
  const rows = batch.predictionIds.length
  let columns = 0
  for (const group of ["features", "outputs", "segments"] as const) {
    for (const [name, column] of Object.entries(batch[group] ?? {})) {
      checkText(name, `${group} name`)
      checkColumn(column, rows, `${group}.${name}`)
      columns++
    }
  }
  if (columns > maxColumns) {
    refuse(`the batch has ${columns} columns, at most ${maxColumns} fit`, "features", "TooLarge")
  }
}

/** Throws `PredictionSinkError` unless the labels can be stored. */
export const checkLabels = (batch: PredictionEvent.LabelBatch): void => {
  checkIds(batch)
  checkColumn(batch.labels, batch.predictionIds.length, "labels")
}
