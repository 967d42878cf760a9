/**
 * Port: from a model reference to its files. Implemented by the registry.
 *
 * @module
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import * as Failure from "./Failure.ts"
import type { ModelPackage } from "./ModelPackage.ts"
import type { ModelRef } from "./ModelRef.ts"

/** A model could not be found, fetched, registered or promoted. */
export class ModelStoreError extends Schema.TaggedError<ModelStoreError>()(
  "ModelStoreError",
  Failure.fields([
    "InvalidInput",
    "NotFound",
    "Conflict",
    "PreconditionFailed",
    "PermissionDenied",
    "Corrupt",
    "Unavailable",
    "Internal",
  ]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** A version of a registered model, its files on the local disk and checked against the digests. */
export interface ResolvedModel {
  readonly name: string
  readonly version: number
  readonly aliases: ReadonlyArray<string>
  readonly package: ModelPackage
  readonly runId?: string
}

/** An alias moved, or a version was added (`alias` absent). */
export interface ModelChange {
  readonly name: string
  readonly version: number
  readonly alias?: string
}

/** Finds registered models and follows their changes. */
export class ModelSource extends Context.Service<
  ModelSource,
  {
    readonly resolve: (ref: ModelRef) => Effect.Effect<ResolvedModel, ModelStoreError>
    /** Changes of one model from now on. */
    readonly changes: (name: string) => Stream.Stream<ModelChange, ModelStoreError>
  }
>()("@ashlar/core/ModelSource/v1") {}
