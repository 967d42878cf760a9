/**
 * What trainers ask of the frames they are given.
 *
 * @module
 */
import type { Frame } from "../Frame.ts"
import { invalid } from "../TrainingError.ts"
import type { TrainingError } from "../TrainingError.ts"

/** The first label that is neither 0 nor 1; `field` is where the labels are. */
export const labelFault = (field: string, label: Float32Array): TrainingError | undefined => {
  const other = label.findIndex((y) => y !== 0 && y !== 1)
  return other < 0
    ? undefined
    : invalid(
        `${field}[${other}]`,
        `The label of row ${other} is ${label[other]}; binary labels are 0 and 1.`,
      )
}

const shapeFault = (
  field: string,
  { columns, features, label, rows }: Frame,
): TrainingError | undefined =>
  rows > 0 &&
  label.length === rows &&
  columns.length === features.length &&
  columns.every((column) => column.length === rows)
    ? undefined
    : invalid(field, "The frame has columns of several lengths; make it with Frame.make.")

/** Why a training and a validation frame cannot be used together. */
export const framesFault = (
  train: Frame,
  validation: Frame | undefined,
): TrainingError | undefined => {
  const fault = shapeFault("train", train)
  if (fault !== undefined || validation === undefined) return fault
  if (validation.features.join("\u0000") !== train.features.join("\u0000")) {
    return invalid(
      "validation.features",
      "The validation frame must have the training frame's features, in its order.",
    )
  }
  return shapeFault("validation", validation)
}
