/**
 * SPI: the latest packed feature row of each entity key. Backends: `memory`, `database`.
 *
 * @module
 */
import { Failure } from "@ashlar/core"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Rows could not be read or written. */
export class OnlineStoreError extends Schema.TaggedError<OnlineStoreError>()(
  "OnlineStoreError",
  Failure.fields([
    "InvalidInput",
    "Conflict",
    "Corrupt",
    "OutOfSpace",
    "Unavailable",
    "Timeout",
    "Internal",
  ]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** What a backend can do. */
export interface OnlineStoreCapabilities {
  /** What was acknowledged survives a crash. */
  readonly durable: boolean
}

/**
 * Which of two rows of a key is newer: compared element by element, whole numbers. A row from
 * aggregates has the instant it was computed for and the revision of its source; any other row has
 * event time, created time and ingest order.
 */
export type RowVersion = readonly [number, number, number]

/** A packed row. */
export interface OnlineRow {
  /** Time of the latest event in it, microseconds. */
  readonly event: number
  readonly version: RowVersion
  readonly payload: Uint8Array
}

/** A row to write. */
export interface OnlineWrite extends OnlineRow {
  readonly key: string
}

/** True when `a` is newer than `b`. */
export const isNewer = (a: RowVersion, b: RowVersion): boolean =>
  a[0] !== b[0] ? a[0] > b[0] : a[1] !== b[1] ? a[1] > b[1] : a[2] > b[2]

/**
 * Holds rows by table and key; a table is one layout of one view. Tables need not be made first.
 * Writes are idempotent and commute: a row replaces another only if its version is newer, so any
 * order and any repetition of the same writes ends in the same rows.
 */
export class OnlineStore extends Context.Service<
  OnlineStore,
  {
    /** Name of the backend, for messages. */
    readonly name: string
    readonly capabilities: OnlineStoreCapabilities
    /** One result per key, in order; undefined where there is no row. Keys may repeat. */
    readonly read: (
      table: string,
      keys: ReadonlyArray<string>,
    ) => Effect.Effect<ReadonlyArray<OnlineRow | undefined>, OnlineStoreError>
    /** Writes the rows, all or none where the backend is durable. Keys do not repeat. */
    readonly write: (
      table: string,
      rows: ReadonlyArray<OnlineWrite>,
    ) => Effect.Effect<void, OnlineStoreError>
    /** Deletes rows; a key without a row is no error. */
    readonly remove: (
      table: string,
      keys: ReadonlyArray<string>,
    ) => Effect.Effect<void, OnlineStoreError>
    /** Number of rows in a table. */
    readonly count: (table: string) => Effect.Effect<number, OnlineStoreError>
  }
>()("@ashlar/feature-store/OnlineStore/v1") {}
