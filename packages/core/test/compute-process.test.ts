import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "vitest"
import * as Process from "@ashlar/core/process"
import { ComputeSuite } from "@ashlar/core/testing"

const directory = mkdtempSync(join(tmpdir(), "ashlar-compute-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

ComputeSuite.run("process", Process.layer({ directory, cpus: 2, stopOnClose: true }))
