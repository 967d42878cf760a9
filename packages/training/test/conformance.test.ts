import { GradientBoosting } from "@ashlar/training"
import { TrainerSuite } from "@ashlar/training/testing"
import * as Tfjs from "@ashlar/training/tfjs"

TrainerSuite.run(GradientBoosting.trainer, {
  params: { iterations: 40 },
  long: { iterations: 100_000 },
})
TrainerSuite.run(Tfjs.trainer, {
  params: { epochs: 12, batchSize: 128, learningRate: 0.01, units: 24 },
  long: { epochs: 100_000 },
})
TrainerSuite.suite.verifyBroken({ timeoutMs: 20_000 })
