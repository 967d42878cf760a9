import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Sqlite from "@ashlar/core/sqlite"
import { afterAll } from "vitest"
import * as DatabaseSuite from "../src/testing/DatabaseSuite.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-database-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

DatabaseSuite.run("sqlite in memory", Sqlite.layer({ file: ":memory:" }))
DatabaseSuite.run("sqlite in a file", Sqlite.layer({ file: join(folder, "nested/test.db") }))
DatabaseSuite.suite.verifyBroken()
