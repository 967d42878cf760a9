/**
 * Port: register models and move their aliases through the gate. Implemented by the registry.
 *
 * @module
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { DatasetRef } from "./Dataset.ts"
import type { ModelStoreError } from "./ModelSource.ts"
import type { GateDecision } from "./PromotionGate.ts"

/** A package to register. The same `key` registers once. */
export interface RegisterModel {
  readonly name: string
  /** Directory of a model package. */
  readonly directory: string
  readonly runId?: string
  readonly key?: string
  readonly description?: string
  readonly tags?: Readonly<Record<string, string>>
}

/** A registered version. */
export interface ModelVersion {
  readonly name: string
  readonly version: number
  readonly digest: string
}

/** Asks that an alias points to a version. */
export interface PromoteModel {
  readonly name: string
  readonly version: number
  readonly alias: string
  /** Data to compare on; overrides the policy's own. */
  readonly evaluation?: DatasetRef
  /** Alias to compare with while the target alias points nowhere, e.g. `baseline`. */
  readonly baseline?: string
  readonly reason?: string
  readonly key?: string
}

/** What the gate said, and whether the alias moved. */
export interface Promotion {
  readonly promoted: boolean
  readonly previous?: number
  readonly decision: GateDecision
}

/** Registers and promotes models. */
export class ModelSink extends Context.Service<
  ModelSink,
  {
    readonly register: (model: RegisterModel) => Effect.Effect<ModelVersion, ModelStoreError>
    /** A refusal by the gate is an answer (`promoted: false`), not an error. */
    readonly promote: (request: PromoteModel) => Effect.Effect<Promotion, ModelStoreError>
    /** Moves an alias without a gate, for aliases no policy protects. */
    readonly setAlias: (
      name: string,
      alias: string,
      version: number,
    ) => Effect.Effect<void, ModelStoreError>
  }
>()("@ashlar/core/ModelSink/v1") {}
