/**
 * Conformance suite of the {@link BlobStore} SPI.
 *
 * @module
 */
import { BlobStore, type BlobStoreCapabilities } from "../BlobStore.ts"
import { broken } from "../internal/blob/conformance/broken.ts"
import { content } from "../internal/blob/conformance/content.ts"
import { faults } from "../internal/blob/conformance/faults.ts"
import { keys } from "../internal/blob/conformance/keys.ts"
import { uploads } from "../internal/blob/conformance/uploads.ts"
import * as Conformance from "./Conformance.ts"

/**
 * What every BlobStore must do. A backend's tests call `suite.run(name, layer)`; the cases write
 * only under the prefix `conformance/` and clean up.
 */
export const suite: Conformance.Suite<BlobStore, BlobStoreCapabilities> = Conformance.define<
  BlobStore,
  BlobStore["Service"],
  BlobStoreCapabilities
>({
  spi: BlobStore,
  cases: [...content, ...keys, ...faults, ...uploads],
  brokenLayers: broken,
})

/** Registers the suite for a backend. */
export const run = suite.run
