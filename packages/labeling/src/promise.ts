/**
 * The Promise face of {@link Labeling}.
 *
 * @module
 */
import { Facade, type Handle } from "@ashlar/core/promise"
import { Labeling, layer } from "./Labeling.ts"

/**
 * Opens the labeling service.
 *
 * @example
 * ```ts
 * import * as Labeling from "@ashlar/labeling/promise"
 *
 * await using labeling = await Labeling.make({})
 * typeof labeling.separate // => "function"
 * ```
 */
export const make: (
  options: Readonly<Record<never, never>>,
) => Promise<Facade<Labeling["Service"]> & Handle<Labeling, never>> = Facade.from(
  Labeling,
  () => layer,
)
