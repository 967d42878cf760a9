/**
 * Conformance suite of the Events SPI.
 *
 * @module
 */
import type * as Layer from "effect/Layer"
import { Events } from "../Events.ts"
import { brokenLayers } from "../internal/events/conformance/broken.ts"
import { cases } from "../internal/events/conformance/cases.ts"
import * as Conformance from "./Conformance.ts"

/** What every Events backend must do: order, once a key, at-least-once delivery, takeover. */
export const suite = Conformance.define({
  spi: Events,
  capabilities: () => ({}),
  cases,
  brokenLayers,
})

/** Registers the suite's vitest tests for a backend. */
export const run = (backend: string, layer: Layer.Layer<Events, unknown>): void =>
  suite.run(backend, layer)
