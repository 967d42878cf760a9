/**
 * What the trainer suite runs on.
 *
 * @module
 */
import * as Context from "effect/Context"
import type { Params, Trainer } from "../../Trainer.ts"

/** A trainer and parameters for it. */
export interface SubjectShape {
  readonly trainer: Trainer
  /** The trainer's `fit`, here so that the suite also reaches it through the Promise face. */
  readonly fit: Trainer["fit"]
  /** Parameters that learn a wave and a line from 3000 rows in seconds. */
  readonly params: Params
  /** Parameters that keep the trainer busy for minutes. */
  readonly long: Params
}

/** The trainer under test. */
export class Subject extends Context.Service<Subject, SubjectShape>()(
  "@ashlar/training/Trainer/v1",
) {}
