/**
 * Conformance suite of the Compute SPI.
 *
 * @module
 */
import { Compute, type ComputeCapabilities } from "../Compute.ts"
import { broken } from "../internal/compute/conformance/broken.ts"
import { calling } from "../internal/compute/conformance/calling.ts"
import { commanding } from "../internal/compute/conformance/commanding.ts"
import * as Conformance from "./Conformance.ts"

/**
 * What every Compute must do. The layer grants exactly 2 CPUs, on the machine the suite runs on:
 * the jobs call functions of this package by their file and write to the temporary directory.
 */
export const suite: Conformance.Suite<Compute, ComputeCapabilities> = Conformance.define<
  Compute,
  Compute["Service"],
  ComputeCapabilities
>({
  spi: Compute,
  cases: [...calling, ...commanding],
  brokenLayers: broken,
})

/** Registers the suite for a backend. */
export const run = suite.run
