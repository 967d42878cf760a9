/**
 * What the network trainer and its thread say to each other.
 *
 * @module
 */
import type { Mlp } from "./mlp.ts"

/** Complete settings of a network. */
export interface MlpParams {
  readonly layers: number
  readonly units: number
  readonly epochs: number
  readonly batchSize: number
  /** 0: all of them. */
  readonly rowsPerEpoch: number
  readonly learningRate: number
  readonly l2: number
  readonly earlyStoppingRounds: number
  readonly metric: "auc" | "logloss"
}

/** What the thread starts with. */
export interface MlpData {
  readonly params: MlpParams
  readonly seed: number
  readonly columns: ReadonlyArray<Float32Array>
  readonly label: Float32Array
  readonly validation:
    | { readonly columns: ReadonlyArray<Float32Array>; readonly label: Float32Array }
    | undefined
}

/** From the thread. */
export type MlpMessage =
  | { readonly type: "missing" }
  | { readonly type: "diverged"; readonly epoch: number }
  | {
      readonly type: "epoch"
      readonly epoch: number
      readonly metrics: Readonly<Record<string, number>>
    }
  | {
      readonly type: "done"
      readonly mlp: Mlp
      readonly epoch: number
      readonly metrics: Readonly<Record<string, number>>
      readonly backend: string
    }
