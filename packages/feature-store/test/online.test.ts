import * as Sqlite from "@ashlar/core/sqlite"
import * as Layer from "effect/Layer"
import * as DatabaseOnline from "../src/database.ts"
import * as MemoryOnline from "../src/memory.ts"
import { OnlineStoreSuite } from "../src/testing/index.ts"

OnlineStoreSuite.run("memory", MemoryOnline.layer)
OnlineStoreSuite.run(
  "database (sqlite)",
  Layer.provide(DatabaseOnline.layer, Sqlite.layer({ file: ":memory:" })),
)
OnlineStoreSuite.suite.verifyBroken()
