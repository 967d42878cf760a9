import { BlobStore, Name, Page, type RunTracker } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid, type RegistryError } from "../RegistryError.ts"

/** MLflow's rule for metric, param and tag keys. */
const keyPattern = /^[/\w.\- :]{1,250}$/

const isPath: (value: string) => boolean = Schema.is(BlobStore.BlobKey)

/** A name, or an error that names the field. */
export const name = (field: string, value: string): Effect.Effect<void, RegistryError> =>
  Name.pattern.test(value)
    ? Effect.void
    : Effect.fail(
        invalid(
          field,
          `${field} ${JSON.stringify(value.slice(0, 200))} is not a name: use 1 to 128 letters, digits, '_', '.' or '-', starting with a letter or digit`,
        ),
      )

/** A relative path without tricks. */
export const path = (field: string, value: string): Effect.Effect<void, RegistryError> =>
  isPath(value)
    ? Effect.void
    : Effect.fail(
        invalid(
          field,
          `${field} ${JSON.stringify(value.slice(0, 200))} is not a relative path with '/' between names, without '.', '..' and empty parts`,
        ),
      )

/** Checks keys, sizes and values of what is logged: MLflow's limits. */
export const batch = (
  logged: RunTracker.RunBatch & { readonly seed?: number },
): Effect.Effect<void, RegistryError> => {
  const keyed = [
    ...Object.entries(logged.params ?? {}).map(([key, value]) => ["params", key, value] as const),
    ...Object.entries(logged.tags ?? {}).map(([key, value]) => ["tags", key, value] as const),
    ...(logged.metrics ?? []).map(({ key, value }) => ["metrics", key, value] as const),
  ]
  for (const [kind, key, value] of keyed) {
    if (!keyPattern.test(key) || key.startsWith("/") || key.split("/").includes("..")) {
      return Effect.fail(
        invalid(
          `${kind}.${key.slice(0, 100)}`,
          `${kind} key ${JSON.stringify(key.slice(0, 100))}: use 1 to 250 letters, digits, '_', '-', '.', ' ', ':' or '/', relative and without '..'`,
        ),
      )
    }
    const limit = kind === "params" ? 6000 : 8000
    if (kind !== "metrics" && String(value).length > limit) {
      return Effect.fail(
        invalid(`${kind}.${key}`, `${kind} ${key} has more than ${limit} characters`),
      )
    }
  }
  for (const { key, value, step = 0, time = 0 } of logged.metrics ?? []) {
    const whole = Number.isSafeInteger(step) && Number.isSafeInteger(time) && time >= 0
    if (typeof value !== "number" || !whole) {
      return Effect.fail(
        invalid(
          `metrics.${key}`,
          `metric ${key}: value is a number, step and time are whole numbers, time not negative`,
        ),
      )
    }
  }
  return Effect.void
}

/** The position in a page token of (time, id). */
export const token = (
  text: string | undefined,
): Effect.Effect<{ readonly time: number; readonly id: string } | undefined, RegistryError> => {
  if (text === undefined) return Effect.succeed(undefined)
  const [time, id] = Page.decodeToken(text) ?? []
  return typeof time === "number" && typeof id === "string"
    ? Effect.succeed({ time, id })
    : Effect.fail(invalid("token", "the page token is not one this service gave: start again"))
}
