import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { BlobStoreSuite } from "@ashlar/core/testing"
import { afterAll } from "vitest"
import { layer } from "../src/sqlite.ts"

const folder = mkdtempSync(join(tmpdir(), "blobs-"))
afterAll(() => rmSync(folder, { recursive: true }))

BlobStoreSuite.run("sqlite-example", layer({ file: join(folder, "blobs.db") }))
