/**
 * What a model takes and gives: named, typed, shaped inputs and outputs.
 *
 * @module
 */
import * as Schema from "effect/Schema"
import { DataType } from "./DataType.ts"

/** One input or output tensor. `-1` in a shape is a free dimension; the first is the batch. */
export const TensorSpec = Schema.Struct({
  name: Schema.NonEmptyString,
  datatype: DataType,
  shape: Schema.Array(Schema.Int),
  /** Names of the columns of a `[-1, n]` tensor, in order. */
  columns: Schema.optionalKey(Schema.Array(Schema.NonEmptyString)),
})

/** One input or output tensor of a model. */
export type TensorSpec = typeof TensorSpec.Type

/** Schema of a signature. */
export const Signature = Schema.Struct({
  inputs: Schema.Array(TensorSpec),
  outputs: Schema.Array(TensorSpec),
  /** Inference parameters with their default values, as in MLflow. */
  params: Schema.optionalKey(Schema.Record(Schema.String, Schema.Json)),
})

/** The typed inputs and outputs of a model. */
export type Signature = typeof Signature.Type
