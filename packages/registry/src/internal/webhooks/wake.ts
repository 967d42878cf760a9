import type { Database } from "@ashlar/core"

type Db = Database.Database["Service"]

/** Who waits for deliveries of a database in this process; other processes look now and then. */
const waiting = new WeakMap<Db, Set<() => void>>()

/** Wakes those that deliver what is in this database. */
export const wake = (db: Db): void => {
  // A copy: who wakes may at once listen again.
  const listeners = [...(waiting.get(db) ?? [])]
  for (const listener of listeners) listener()
}

/** Listens until the returned function is called. */
export const onWake = (db: Db, listener: () => void): (() => void) => {
  const listeners = waiting.get(db) ?? new Set()
  waiting.set(db, listeners.add(listener))
  return () => {
    listeners.delete(listener)
  }
}
