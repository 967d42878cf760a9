import { ComputeSuite } from "@ashlar/core/testing"
import * as Worker from "@ashlar/core/worker"

ComputeSuite.run("worker", Worker.layer({ cpus: 2 }))
ComputeSuite.suite.verifyBroken({ timeoutMs: 2_500 })
