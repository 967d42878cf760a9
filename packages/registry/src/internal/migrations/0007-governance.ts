import type { Database } from "@ashlar/core"
import { sql } from "kysely"

/** Requests for promotion, the votes on them, evidence of tests, and lineage that can be walked. */
export const migration: Database.Migration = {
  id: "0007-governance",
  up: (build, dialect) => [
    build.schema
      .createTable("registry_request")
      .addColumn("id", "text", (c) => c.primaryKey())
      .addColumn("kind", "text", (c) => c.notNull())
      .addColumn("model", "text", (c) => c.notNull())
      .addColumn("target", "text", (c) => c.notNull())
      .addColumn("version", "bigint", (c) => c.notNull())
      .addColumn("digest", "text", (c) => c.notNull())
      .addColumn("requester", "text", (c) => c.notNull())
      .addColumn("reason", "text")
      .addColumn("evaluation", "text")
      .addColumn("baseline", "text")
      .addColumn("key", "text")
      .addColumn("status", "text", (c) => c.notNull())
      .addColumn("gates", "text", (c) => c.notNull())
      .addColumn("compared", "text")
      .addColumn("previous", "bigint")
      .addColumn("created", "bigint", (c) => c.notNull())
      .addColumn("updated", "bigint", (c) => c.notNull()),
    build.schema
      .createIndex("registry_request_key")
      .unique()
      .on("registry_request")
      .columns(["model", "key"]),
    build.schema
      .createIndex("registry_request_model")
      .on("registry_request")
      .columns(["model", "id"]),
    build.schema
      .createTable("registry_vote")
      .addColumn("request", "text", (c) => c.notNull().references("registry_request.id"))
      .addColumn("principal", "text", (c) => c.notNull())
      .addColumn("vote", "text", (c) => c.notNull())
      .addColumn("comment", "text")
      .addColumn("scopes", "text", (c) => c.notNull())
      .addColumn("digest", "text", (c) => c.notNull())
      .addColumn("policy", "text", (c) => c.notNull())
      .addColumn("time", "bigint", (c) => c.notNull())
      .addPrimaryKeyConstraint("registry_vote_pk", ["request", "principal"]),
    build.schema
      .createTable("registry_evidence")
      .addColumn("id", "text", (c) => c.primaryKey())
      .addColumn("model", "text", (c) => c.notNull())
      .addColumn("version", "bigint", (c) => c.notNull())
      .addColumn("version_digest", "text", (c) => c.notNull())
      .addColumn("name", "text", (c) => c.notNull())
      .addColumn("status", "text", (c) => c.notNull())
      .addColumn("digest", "text", (c) => c.notNull())
      .addColumn("uri", "text")
      .addColumn("principal", "text")
      .addColumn("time", "bigint", (c) => c.notNull()),
    build.schema
      .createIndex("registry_evidence_version")
      .on("registry_evidence")
      .columns(["model", "version", "name", "id"]),
    build.schema
      .createTable("registry_lineage_use")
      .addColumn("run", "text", (c) => c.notNull())
      .addColumn("role", "text", (c) => c.notNull())
      .addColumn("namespace", "text", (c) => c.notNull())
      .addColumn("name", "text", (c) => c.notNull())
      .addColumn("job", "text", (c) => c.notNull())
      .addColumn("time", "bigint", (c) => c.notNull())
      .addPrimaryKeyConstraint("registry_lineage_use_pk", ["run", "role", "namespace", "name"]),
    build.schema
      .createIndex("registry_lineage_use_dataset")
      .on("registry_lineage_use")
      .columns(["namespace", "name", "time"]),
    build.schema.createIndex("registry_lineage_run").on("registry_lineage").columns(["run", "id"]),
    build.schema.createIndex("registry_version_run").on("registry_version").columns(["run"]),
    // What an input's URI may be has no bound that an ordered index of PostgreSQL could hold.
    ...(["uri", "name"] as const).map((column) => {
      const index = build.schema.createIndex(`registry_input_${column}`).on("registry_input")
      return (dialect === "postgres" ? index.using("hash") : index).column(column)
    }),
    ...(["input", "output"] as const).map((role) => uses(dialect, role)),
  ],
}

/** What stored events say of datasets, written out. */
const uses = (dialect: Database.Dialect, role: "input" | "output") => {
  const list = `${role}s`
  const insert = sql`insert into registry_lineage_use (run, role, namespace, name, job, time)`
  const found =
    dialect === "sqlite"
      ? sql`select l.run as run, json_extract(d.value, '$.namespace') as namespace,
          json_extract(d.value, '$.name') as name, l.job as job, l.time as time
          from registry_lineage l, json_each(l.event, ${sql.lit(`$.${list}`)}) d`
      : sql`select l.run as run, d.value ->> 'namespace' as namespace,
          d.value ->> 'name' as name, l.job as job, l.time as time
          from registry_lineage l, json_array_elements(l.event::json -> ${sql.lit(list)}) d`
  // An index of PostgreSQL has no room for longer names.
  return sql`${insert} select run, ${sql.lit(role)}, namespace, name, max(job), max(time)
    from (${found}) as found
    where length(namespace) + length(name) <= 500 and length(run) <= 64
    group by run, namespace, name`
}

/** A row of `registry_request`. */
export interface RequestRow {
  readonly id: string
  readonly kind: "promotion" | "rollback"
  readonly model: string
  readonly target: string
  readonly version: number
  /** Of the version's content. */
  readonly digest: string
  readonly requester: string
  readonly reason: string | null
  /** JSON of the data to compare on. */
  readonly evaluation: string | null
  readonly baseline: string | null
  readonly key: string | null
  readonly status: "open" | "promoted" | "refused" | "rejected"
  /** JSON of what each gate said last. */
  readonly gates: string
  /** JSON of comparisons that were made, by what they were made on. */
  readonly compared: string | null
  /** The version that the target had when it was moved. */
  readonly previous: number | null
  readonly created: number
  readonly updated: number
}

/** A row of `registry_vote`. */
export interface VoteRow {
  readonly request: string
  readonly principal: string
  readonly vote: "approve" | "reject"
  readonly comment: string | null
  /** JSON of the scopes that the principal had. */
  readonly scopes: string
  /** Of the version's content. */
  readonly digest: string
  /** Digest of the policy. */
  readonly policy: string
  readonly time: number
}

/** A row of `registry_evidence`. */
export interface EvidenceRow {
  readonly id: string
  readonly model: string
  readonly version: number
  readonly version_digest: string
  readonly name: string
  readonly status: "passed" | "failed"
  readonly digest: string
  readonly uri: string | null
  readonly principal: string | null
  readonly time: number
}

/** A row of `registry_lineage_use`: a run read or wrote a dataset. */
export interface LineageUseRow {
  readonly run: string
  readonly role: "input" | "output"
  readonly namespace: string
  readonly name: string
  readonly job: string
  readonly time: number
}

/** The tables of this migration. */
export interface GovernanceTables {
  readonly registry_request: RequestRow
  readonly registry_vote: VoteRow
  readonly registry_evidence: EvidenceRow
  readonly registry_lineage_use: LineageUseRow
}
