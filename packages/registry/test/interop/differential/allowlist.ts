import type { Aspect } from "./normalize.ts"

/** Differences that are meant. */
export interface Allowed {
  /** `family/case`, or a pattern of several. */
  readonly cases: string | RegExp
  /** Nothing else may differ. */
  readonly aspects: ReadonlyArray<Aspect>
  /** Why the answer differs, for those who move from MLflow. */
  readonly reason: string
}

/** Every difference from MLflow that is meant. An entry that no case needs fails the suite. */
export const allowlist: ReadonlyArray<Allowed> = []
