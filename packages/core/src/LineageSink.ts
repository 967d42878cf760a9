/**
 * Port: where OpenLineage events go. Implemented by the registry and over HTTP.
 *
 * @module
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Failure from "./Failure.ts"
import type { RunEvent } from "./OpenLineage.ts"

/** A lineage event could not be recorded. */
export class LineageSinkError extends Schema.TaggedError<LineageSinkError>()(
  "LineageSinkError",
  Failure.fields(["InvalidInput", "Unavailable", "Internal"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** Takes OpenLineage run events. */
export class LineageSink extends Context.Service<
  LineageSink,
  { readonly emit: (event: RunEvent) => Effect.Effect<void, LineageSinkError> }
>()("@ashlar/core/LineageSink/v1") {}
