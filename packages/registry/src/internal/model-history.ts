import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Audit from "../Audit.ts"
import type { AuditRow } from "./migrations.ts"
import type { Store } from "./store.ts"

/** The name that a model had before it got this one, if an entry says so. */
const earlierName = ({ action, detail }: Audit.Entry, name: string): string | undefined => {
  if (action !== "model.renamed" || typeof detail !== "object" || detail === null) return undefined
  const [from, to]: ReadonlyArray<unknown> = [
    Reflect.get(detail, "from"),
    Reflect.get(detail, "to"),
  ]
  return to === name && typeof from === "string" ? from : undefined
}

/** What the audit has of a model, oldest first, after a position; also under its earlier names. */
export const read = Effect.fnUntraced(function* (
  { db, build }: Store,
  name: string,
  after: number,
): Effect.fn.Return<ReadonlyArray<Audit.Entry>, Database.DatabaseError> {
  // By position: a model may get back a name that it had.
  const entries = new Map<number, Audit.Entry>()
  let subject: string | undefined = name
  let before = Number.MAX_SAFE_INTEGER
  while (subject !== undefined) {
    const rows: ReadonlyArray<AuditRow> = yield* db.all(
      build
        .selectFrom("registry_audit")
        .selectAll()
        .where("subject", "=", subject)
        .where("position", ">", after)
        .where("position", "<", before)
        .orderBy("position"),
    )
    const found: ReadonlyArray<Audit.Entry> = rows.map(Audit.fromRow)
    for (const entry of found) entries.set(entry.position, entry)
    // Each earlier name ends before the later one began, so that this comes to an end.
    const current: string = subject
    const renamed: Audit.Entry | undefined = found.findLast(
      (entry) => earlierName(entry, current) !== undefined,
    )
    subject = renamed === undefined ? undefined : earlierName(renamed, current)
    before = renamed?.position ?? before
  }
  return [...entries.values()].toSorted((a, b) => a.position - b.position)
})
