import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "vitest"
import * as Fs from "@ashlar/core/fs"
import * as Memory from "@ashlar/core/memory"
import { BlobStoreSuite } from "@ashlar/core/testing"

const directory = mkdtempSync(join(tmpdir(), "ashlar-blob-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

BlobStoreSuite.run("memory", Memory.layer)
BlobStoreSuite.run("fs", Fs.layer({ directory }))
BlobStoreSuite.suite.verifyBroken()
