/**
 * Profiles of the features of stored predictions, one for each calendar window.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import type { MonitoringError } from "../MonitoringError.ts"
import * as Profile from "../Profile.ts"
import * as Window from "../Window.ts"
import type { Column } from "./column-state.ts"
import { gather, unpack } from "./pack.ts"
import { type Chunk, type Scan, type Selection } from "./scan.ts"

/** Which predictions, and what of them. */
export interface ProfileRequest extends Selection {
  readonly by: Window.By
  readonly columns?: ReadonlyArray<string> | undefined
  /** Sketch size; both sides of a comparison need not agree. */
  readonly k?: number | undefined
}

/** A window and the profile of its predictions' features. */
export interface WindowProfile {
  readonly window: Window.Window
  readonly profile: Profile.Profile
}

/** Profiles of the features by window, oldest first. */
export const windowProfiles = (
  scan: Scan,
  request: ProfileRequest,
): Effect.Effect<ReadonlyArray<WindowProfile>, MonitoringError> =>
  Effect.gen(function* () {
    const chunks = yield* scan.list(request)
    const from = request.from ?? -Infinity
    const to = request.to ?? Infinity
    const all = { from, to }
    const builders = new Map<
      number,
      { readonly window: Window.Window; readonly build: Profile.Builder }
    >()
    const builderOf = (window: Window.Window): Profile.Builder => {
      const known = builders.get(window.from)
      if (known !== undefined) return known.build
      const build = Profile.builder(request.k === undefined ? {} : { k: request.k })
      builders.set(window.from, { window, build })
      return build
    }
    const wanted = request.columns === undefined ? undefined : new Set(request.columns)
    const times = new Map<Chunk, Float64Array>()
    const key = (chunk: Chunk): boolean => {
      const window = Window.of(chunk.min_time, request.by, all)
      return chunk.max_time < window.to && chunk.min_time >= from && chunk.max_time < to
    }
    const straddling = chunks.filter((chunk) => !key(chunk))
    // Times of the few chunks that lie in several windows; 8 bytes a row.
    yield* scan.each(straddling, "score", (chunk, data) => {
      const column = unpack(data, (name) => name === "k:time").get("k:time")
      times.set(chunk, (column as Float64Array).slice())
    })
    yield* scan.each(chunks, "feature", (chunk, data) => {
      const columns = unpack(data, (name) => wanted?.has(name) ?? true)
      const at = times.get(chunk)
      if (at === undefined) {
        builderOf(Window.of(chunk.min_time, request.by, all)).add(Object.fromEntries(columns), [
          0,
          chunk.rows,
        ])
        return
      }
      const rows = new Map<
        number,
        { readonly window: Window.Window; readonly rows: Array<number> }
      >()
      let current: { readonly window: Window.Window; readonly rows: Array<number> } | undefined
      for (let i = 0; i < at.length; i++) {
        const time = at[i] as number
        if (time < from || time >= to) continue
        if (current === undefined || time < current.window.from || time >= current.window.to) {
          const window = Window.of(time, request.by, all)
          current = rows.get(window.from) ?? { window, rows: [] }
          rows.set(window.from, current)
        }
        current.rows.push(i)
      }
      for (const part of rows.values()) {
        const picked = [...columns].map(([name, column]): readonly [string, Column] => [
          name,
          gather(column, part.rows),
        ])
        builderOf(part.window).add(Object.fromEntries(picked), [0, part.rows.length])
      }
    })
    return [...builders.values()]
      .sort((a, b) => a.window.from - b.window.from)
      .map(({ window, build }) => ({ window, profile: build.finish() }))
  })
