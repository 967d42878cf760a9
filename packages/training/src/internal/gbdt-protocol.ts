/**
 * What the caller's thread and the learner's threads say to each other.
 *
 * @module
 */
import type { TreeEnsemble } from "../TreeEnsemble.ts"
import type { WasmMemory, WasmModule } from "./wasm.ts"

/** Settings of the learner, complete and checked. */
export interface BoostingSettings {
  readonly objective: "binary" | "regression"
  readonly iterations: number
  readonly learningRate: number
  readonly maxLeaves: number
  readonly maxDepth: number
  readonly maxBins: number
  readonly minRowsInLeaf: number
  readonly minChildWeight: number
  readonly minGain: number
  readonly lambda: number
  readonly rowFraction: number
  readonly featureFraction: number
  readonly categorySmoothing: number
  readonly categoryLambda: number
  readonly minCategoryRows: number
  readonly maxCategoriesInSplit: number
  readonly earlyStoppingRounds: number
  readonly metric: "auc" | "logloss" | "rmse"
}

/** What the coordinator starts with; columns follow one at a time as it asks for them. */
export interface CoordinatorData {
  readonly role: "coordinator"
  readonly module: WasmModule
  readonly threads: number
  readonly seed: number
  readonly settings: BoostingSettings
  readonly features: ReadonlyArray<string>
  readonly categorical: ReadonlyArray<boolean>
  readonly rows: number
  readonly validationRows: number
}

/** What a helper starts with. */
export interface HelperData {
  readonly role: "helper"
  readonly module: WasmModule
  readonly memory: WasmMemory
  readonly thread: number
}

/** A column to the coordinator: `index` -1 is the label. */
export interface ColumnMessage {
  readonly values: Float32Array
}

/** One finished tree. */
export interface Iteration {
  readonly iteration: number
  readonly iterations: number
  /** Validation metrics; empty without a validation set. */
  readonly metrics: Readonly<Record<string, number>>
}

/** From the coordinator. */
export type CoordinatorMessage =
  | { readonly type: "want"; readonly set: "train" | "validation"; readonly index: number }
  | { readonly type: "iteration"; readonly iteration: Iteration }
  | { readonly type: "invalid"; readonly message: string; readonly field: string }
  | { readonly type: "tooLarge"; readonly bytes: number }
  | { readonly type: "done"; readonly ensemble: TreeEnsemble; readonly bestIteration: number }
