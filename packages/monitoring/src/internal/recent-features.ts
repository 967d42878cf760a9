/**
 * The newest recorded features, for backgrounds.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import type { MonitoringError } from "../MonitoringError.ts"
import type { Column } from "./column-state.ts"
import { concat, unpack } from "./pack.ts"
import type { Chunk, Scan, Selection } from "./scan.ts"

/** Columns that every one of the newest chunks has, at most `limit` rows of them. */
export const recentFeatures = (
  scan: Scan,
  request: Selection & { readonly limit: number },
): Effect.Effect<Readonly<Record<string, Column>>, MonitoringError> =>
  Effect.gen(function* () {
    const chunks = yield* scan.list(request)
    const newest: Array<Chunk> = []
    let rows = 0
    for (let i = chunks.length - 1; i >= 0 && rows < request.limit; i--) {
      const chunk = chunks[i]
      if (chunk === undefined) break
      newest.push(chunk)
      rows += chunk.rows
    }
    const parts: Array<Map<string, Column>> = []
    yield* scan.each(newest.reverse(), "feature", (_chunk, data) => {
      parts.push(unpack(data))
    })
    const [first] = parts
    const names = [...(first?.keys() ?? [])].filter((name) => {
      const kind = first?.get(name)?.constructor
      return parts.every((part) => part.get(name)?.constructor === kind)
    })
    return Object.fromEntries(
      names.map((name) => {
        const whole = concat(parts.map((part) => part.get(name) ?? []))
        return [name, whole.slice(Math.max(0, whole.length - request.limit))]
      }),
    )
  })
