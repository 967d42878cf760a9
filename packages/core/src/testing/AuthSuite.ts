/**
 * Conformance suite of the Auth SPI.
 *
 * @module
 */
import type * as Layer from "effect/Layer"
import { Auth } from "../Auth.ts"
import { brokenLayers, cases } from "../internal/auth/conformance.ts"
import * as Conformance from "./Conformance.ts"

/** What every Auth backend must do: recognise its own tokens and nothing else. */
export const suite = Conformance.define({
  spi: Auth,
  capabilities: () => ({}),
  cases,
  brokenLayers,
})

/** Registers the suite's vitest tests for a backend. */
export const run = (backend: string, layer: Layer.Layer<Auth, unknown>): void =>
  suite.run(backend, layer)
