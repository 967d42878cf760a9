import { type Database, Digest, Id, Name, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Actor from "../Actor.ts"
import * as Audit from "../Audit.ts"
import { invalid, notFound, type RegistryError } from "../RegistryError.ts"
import type { EvidenceRow } from "./migrations/0007-governance.ts"
import type { Store } from "./store.ts"

/** Schema of what a test found of a version. */
export const Report = Schema.Struct({
  name: Schema.NonEmptyString,
  version: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })),
  /** Name of the test, as a gate `tests` has it. */
  test: Name.Name,
  status: Schema.Literals(["passed", "failed"]),
  /** Digest of the test's report, wherever it is kept. */
  digest: Digest.Digest,
  /** Where the report is kept. */
  uri: Schema.optionalKey(Schema.NonEmptyString.check(Schema.isMaxLength(2000))),
})

/** What a test found of a version. */
export type Report = typeof Report.Type

/** Schema of a stored report. Times are UTC microseconds. */
export const Evidence = Schema.Struct({
  id: Schema.String,
  ...Report.fields,
  /** Of the version's content at that time: evidence counts for these bytes alone. */
  versionDigest: Schema.String,
  by: Schema.optionalKey(Schema.String),
  time: Timestamp.Timestamp,
})

/** A stored report. */
export type Evidence = typeof Evidence.Type

const shown = (row: EvidenceRow): Evidence => ({
  id: row.id,
  name: row.model,
  version: row.version,
  test: row.name,
  status: row.status,
  digest: row.digest,
  ...(row.uri === null ? {} : { uri: row.uri }),
  versionDigest: row.version_digest,
  ...(row.principal === null ? {} : { by: row.principal }),
  time: row.time,
})

const decode = Schema.decodeUnknownEffect(Report)

/** Evidence of a store: it is added and never changed. */
export const make = (
  store: Store,
  lock: (name: string) => Effect.Effect<void, Database.DatabaseError>,
) => {
  const { db, build } = store

  const add = Effect.fnUntraced(function* (report: Report) {
    const valid = yield* Effect.mapError(decode(report), (error) =>
      invalid("evidence", `the evidence is refused: ${error.message}`),
    )
    const { name, version, test, status, digest, uri = null } = valid
    const by = yield* Actor.Current
    return yield* db.transaction(
      Effect.gen(function* () {
        yield* lock(name)
        const found = yield* db.first(
          build
            .selectFrom("registry_version")
            .select("digest")
            .where("model", "=", name)
            .where("version", "=", version)
            .where("deleted", "is", null),
        )
        if (found === undefined) return yield* notFound(`model ${name} version ${version}`)
        const row: EvidenceRow = {
          id: Id.make(),
          model: name,
          version,
          version_digest: found.digest,
          name: test,
          status,
          digest,
          uri,
          principal: by?.name ?? null,
          time: Timestamp.now(),
        }
        yield* db.run(build.insertInto("registry_evidence").values(row))
        yield* Audit.append(store, {
          action: "evidence.added",
          subject: name,
          detail: { version, test, status, report: digest, uri, digest: found.digest },
        })
        return shown(row)
      }),
    )
  })

  const of = (
    name: string,
    version: number,
  ): Effect.Effect<ReadonlyArray<Evidence>, Database.DatabaseError | RegistryError> =>
    Effect.map(
      db.all(
        build
          .selectFrom("registry_evidence")
          .selectAll()
          .where("model", "=", name)
          .where("version", "=", version)
          .orderBy("id"),
      ),
      (rows) => rows.map(shown),
    )

  return { add, of }
}
