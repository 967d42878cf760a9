/**
 * Online store in the memory of this process.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { isNewer, OnlineStore, type OnlineRow } from "./OnlineStore.ts"

/**
 * An online store whose rows are gone when the process ends. Reads take well under a microsecond a
 * key.
 */
export const layer: Layer.Layer<OnlineStore> = Layer.sync(OnlineStore, () => {
  const tables = new Map<string, Map<string, OnlineRow>>()
  return {
    name: "memory",
    capabilities: { durable: false },
    read: (table, keys) =>
      Effect.sync(() => {
        const rows = tables.get(table)
        return keys.map((key) => rows?.get(key))
      }),
    write: (table, writes) =>
      Effect.sync(() => {
        let rows = tables.get(table)
        if (rows === undefined) tables.set(table, (rows = new Map()))
        for (const { event, key, payload, version } of writes) {
          const old = rows.get(key)
          if (old === undefined || isNewer(version, old.version)) {
            rows.set(key, { event, version, payload })
          }
        }
      }),
    remove: (table, keys) =>
      Effect.sync(() => {
        for (const key of keys) tables.get(table)?.delete(key)
      }),
    count: (table) => Effect.sync(() => tables.get(table)?.size ?? 0),
  }
})
