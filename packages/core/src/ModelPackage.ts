/**
 * A model as files: a directory with an `MLmodel` manifest that MLflow can read, the model's
 * signature and the digest of every file.
 *
 * @module
 */
import * as Schema from "effect/Schema"
import { Digest } from "./Digest.ts"
import { Signature } from "./Signature.ts"
import { Timestamp } from "./Timestamp.ts"

/** One file of a package, with its path relative to the directory (`/` as separator). */
export const PackageFile = Schema.Struct({
  path: Schema.NonEmptyString,
  size: Schema.Int,
  digest: Digest,
})

/** Schema of a package's manifest. */
export const Manifest = Schema.Struct({
  /** Flavor that loads the model first, e.g. `onnx`. */
  flavor: Schema.NonEmptyString,
  /** Every flavor's own settings, as in MLmodel's `flavors`. */
  flavors: Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.Json)),
  /** File the flavor loads, relative to the directory. */
  entry: Schema.NonEmptyString,
  signature: Signature,
  modelUuid: Schema.String,
  runId: Schema.optionalKey(Schema.String),
  created: Timestamp,
  metadata: Schema.optionalKey(Schema.Record(Schema.String, Schema.Json)),
  files: Schema.Array(PackageFile),
  /** Digest over the sorted file digests: the identity of the content. */
  digest: Digest,
})

/** What a package holds. */
export type Manifest = typeof Manifest.Type

/** A package on the local disk. */
export interface ModelPackage {
  readonly directory: string
  readonly manifest: Manifest
}
