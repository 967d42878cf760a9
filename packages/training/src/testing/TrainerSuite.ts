/**
 * Conformance suite of the {@link Trainer} SPI, for trainers of binary labels.
 *
 * @module
 */
import { Conformance } from "@ashlar/core/testing"
import * as Layer from "effect/Layer"
import { broken } from "../internal/conformance/broken.ts"
import { cases } from "../internal/conformance/cases.ts"
import { Subject } from "../internal/conformance/subject.ts"
import type { SubjectShape } from "../internal/conformance/subject.ts"

export { Subject } from "../internal/conformance/subject.ts"

/**
 * What every trainer must do: learn, repeat itself at any number of threads, report what it does,
 * stop when interrupted, refuse what it cannot use, and export ONNX that predicts the same.
 */
export const suite: Conformance.Suite<Subject, object> = Conformance.define<
  Subject,
  SubjectShape,
  object
>({
  spi: Subject,
  capabilities: () => ({}),
  cases,
  brokenLayers: broken,
})

/**
 * Registers vitest tests for a trainer. `params` let it learn a wave and a line from 3000 rows in
 * seconds; `long` keep it busy for minutes.
 *
 * @example
 * ```ts no-run
 * import { GradientBoosting } from "@ashlar/training"
 * import { TrainerSuite } from "@ashlar/training/testing"
 *
 * TrainerSuite.run(GradientBoosting.trainer, { params: { iterations: 30 }, long: { iterations: 100_000 } })
 * ```
 */
export const run = (
  trainer: SubjectShape["trainer"],
  given: Pick<SubjectShape, "params" | "long">,
  options?: Conformance.RunOptions,
): void =>
  suite.run(trainer.name, Layer.succeed(Subject, { trainer, fit: trainer.fit, ...given }), options)
