import type { Database } from "@ashlar/core"

/** Forward migrations of the orchestrator's tables. Never edit one that was released. */
export const migrations: ReadonlyArray<Database.Migration> = [
  {
    id: "0001-runs",
    up: (build) => [
      build.schema
        .createTable("orchestrator_run")
        .addColumn("id", "text", (c) => c.primaryKey())
        .addColumn("workflow", "text", (c) => c.notNull())
        .addColumn("key", "text", (c) => c.notNull())
        .addColumn("version", "text", (c) => c.notNull())
        .addColumn("state", "text", (c) => c.notNull())
        .addColumn("input", "text", (c) => c.notNull())
        .addColumn("output", "text")
        .addColumn("error", "text")
        .addColumn("owner", "text")
        .addColumn("epoch", "bigint", (c) => c.notNull())
        .addColumn("lease", "bigint", (c) => c.notNull())
        .addColumn("created", "bigint", (c) => c.notNull())
        .addColumn("finished", "bigint"),
      build.schema
        .createIndex("orchestrator_run_key")
        .unique()
        .on("orchestrator_run")
        .columns(["workflow", "key"]),
      build.schema
        .createIndex("orchestrator_run_state")
        .on("orchestrator_run")
        .columns(["state", "workflow"]),
      build.schema
        .createTable("orchestrator_step")
        .addColumn("run", "text", (c) => c.notNull().references("orchestrator_run.id"))
        .addColumn("name", "text", (c) => c.notNull())
        .addColumn("state", "text", (c) => c.notNull())
        .addColumn("attempt", "bigint", (c) => c.notNull())
        .addColumn("epoch", "bigint", (c) => c.notNull())
        .addColumn("output", "text")
        .addColumn("error", "text")
        .addColumn("started", "bigint", (c) => c.notNull())
        .addColumn("finished", "bigint")
        .addPrimaryKeyConstraint("orchestrator_step_pk", ["run", "name"]),
      build.schema
        .createTable("orchestrator_trigger")
        .addColumn("id", "text", (c) => c.primaryKey())
        .addColumn("key", "text", (c) => c.notNull().unique())
        .addColumn("kind", "text", (c) => c.notNull())
        .addColumn("subject", "text", (c) => c.notNull())
        .addColumn("reason", "text", (c) => c.notNull())
        .addColumn("payload", "text", (c) => c.notNull())
        .addColumn("fired", "bigint", (c) => c.notNull())
        .addColumn("run", "text"),
    ],
  },
  {
    id: "0002-lists-and-refused-triggers",
    up: (build) => [
      build.schema
        .createIndex("orchestrator_run_created")
        .on("orchestrator_run")
        .columns(["created", "id"]),
      build.schema.alterTable("orchestrator_trigger").addColumn("error", "text"),
    ],
  },
]

/** A row of `orchestrator_run`. */
export interface RunRow {
  readonly id: string
  readonly workflow: string
  readonly key: string
  readonly version: string
  readonly state: "pending" | "running" | "succeeded" | "failed" | "cancelled"
  readonly input: string
  readonly output: string | null
  readonly error: string | null
  readonly owner: string | null
  readonly epoch: number
  readonly lease: number
  readonly created: number
  readonly finished: number | null
}

/** A row of `orchestrator_step`. */
export interface StepRow {
  readonly run: string
  readonly name: string
  readonly state: "running" | "succeeded" | "failed"
  readonly attempt: number
  readonly epoch: number
  readonly output: string | null
  readonly error: string | null
  readonly started: number
  readonly finished: number | null
}

/** A row of `orchestrator_trigger`. */
export interface TriggerRow {
  readonly id: string
  readonly key: string
  readonly kind: string
  readonly subject: string
  readonly reason: string
  readonly payload: string
  readonly fired: number
  /** The run it started. */
  readonly run: string | null
  /** Why no run could be made of it. */
  readonly error: string | null
}

/** The orchestrator's tables. */
export interface Tables {
  readonly orchestrator_run: RunRow
  readonly orchestrator_step: StepRow
  readonly orchestrator_trigger: TriggerRow
}
