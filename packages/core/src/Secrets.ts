/**
 * SPI: passwords, keys and tokens that modules need and nobody may log. Backend: `env`.
 *
 * @module
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Failure from "./Failure.ts"

/** A secret could not be read. */
export class SecretsError extends Schema.TaggedError<SecretsError>()(
  "SecretsError",
  Failure.fields(["InvalidInput", "NotFound", "PermissionDenied", "TooLarge", "Unavailable"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** Reads secrets by name. */
export class Secrets extends Context.Service<
  Secrets,
  {
    /** The secret of this name (see `Name`); read anew each time, so that rotation is seen. */
    readonly get: (name: string) => Effect.Effect<Redacted.Redacted<string>, SecretsError>
  }
>()("@ashlar/core/Secrets/v1") {}
