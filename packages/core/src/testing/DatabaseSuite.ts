/**
 * Conformance suite of the Database SPI.
 *
 * @module
 */
import type * as Layer from "effect/Layer"
import { brokenLayers } from "../internal/database/conformance/broken.ts"
import { migrationCases } from "../internal/database/conformance/migrations.ts"
import { statementCases } from "../internal/database/conformance/statements.ts"
import { transactionCases } from "../internal/database/conformance/transactions.ts"
import { Database } from "../Database.ts"
import * as Conformance from "./Conformance.ts"

/** What every Database must do: values, errors, prepared queries, transactions, migrations. */
export const suite = Conformance.define({
  spi: Database,
  capabilities: () => ({}),
  cases: [...statementCases, ...transactionCases, ...migrationCases],
  brokenLayers,
})

/** Registers the suite's vitest tests for a backend. */
export const run = (backend: string, layer: Layer.Layer<Database, unknown>): void =>
  suite.run(backend, layer, { promise: false })
