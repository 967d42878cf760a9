import { BlobStore, Name, Page, type RunTracker } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid, type RegistryError } from "../RegistryError.ts"
import { isAmbiguous } from "./mlflow/validate.ts"

/** MLflow's rule for metric, param and tag keys. */
const keyPattern = /^[/\p{L}\p{N}_.\- :]{1,250}$/u

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

/** Keys that were checked before: a run logs the same ones over and over. */
const good = new Set<string>()
const remembered = 50_000

/** Whether a key of a metric, param or tag is MLflow's. */
export const isKey = (key: string): boolean => {
  if (good.has(key)) return true
  if (!keyPattern.test(key) || isAmbiguous(key)) return false
  if (good.size >= remembered) good.clear()
  good.add(key)
  return true
}

const badKey = (kind: string, key: string): RegistryError =>
  invalid(
    `${kind}.${key.slice(0, 100)}`,
    `${kind} key ${JSON.stringify(key.slice(0, 100))}: use 1 to 250 letters, digits, '_', '-', '.', ' ', ':' or '/', relative and without '..'`,
  )

/** Whether a text has more characters than so many; most have less, in code units too. */
const isLonger = (text: string, limit: number): boolean =>
  text.length > limit && (text.length > 2 * limit || [...text].length > limit)

const wrongText = (
  kind: "params" | "tags",
  texts: Readonly<Record<string, string | number | boolean>> | undefined,
  limit: number,
): RegistryError | undefined => {
  for (const [key, value] of Object.entries(texts ?? {})) {
    if (!isKey(key)) return badKey(kind, key)
    if (isLonger(String(value), limit)) {
      return invalid(`${kind}.${key}`, `${kind} ${key} has more than ${limit} characters`)
    }
  }
  return undefined
}

const wrongMetric = (metrics: RunTracker.RunBatch["metrics"]): RegistryError | undefined => {
  for (const { key, value, step = 0, time = 0 } of metrics ?? []) {
    if (!isKey(key)) return badKey("metrics", key)
    const whole = Number.isSafeInteger(step) && Number.isSafeInteger(time) && time >= 0
    if (typeof value !== "number" || !whole) {
      return invalid(
        `metrics.${key}`,
        `metric ${key}: value is a number, step and time are whole numbers within 2^53, time not negative`,
      )
    }
  }
  return undefined
}

/** Checks keys, sizes and values of what is logged: MLflow's limits. */
export const batch = (
  logged: RunTracker.RunBatch & { readonly seed?: number },
): Effect.Effect<void, RegistryError> => {
  const wrong =
    wrongText("params", logged.params, 6000) ??
    wrongText("tags", logged.tags, 8000) ??
    wrongMetric(logged.metrics)
  return wrong === undefined ? Effect.void : Effect.fail(wrong)
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
