import { type Database, Timestamp } from "@ashlar/core"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import { OrchestratorError } from "../Workflow.ts"
import type { StepRow, Tables } from "./migrations.ts"

/** Most rows of one commit and statement; below SQLite's and PostgreSQL's limits on parameters. */
const batchRows = 500

/** Most characters of results in one statement, unless a single one is larger. */
const statementSize = 4_000_000

interface Entry {
  readonly row: StepRow
  readonly leaseMs: number
  readonly done: Deferred.Deferred<void, OrchestratorError>
}

const statementsOf = (rows: ReadonlyArray<StepRow>): ReadonlyArray<ReadonlyArray<StepRow>> => {
  const statements: Array<Array<StepRow>> = []
  let size = Infinity
  for (const row of rows) {
    const length = row.output?.length ?? 0
    if (size + length > statementSize) {
      statements.push([])
      size = 0
    }
    statements.at(-1)?.push(row)
    size += length
  }
  return statements
}

/**
 * Writes steps, all that wait at once in one commit: a fan-out of a thousand steps pays for a few
 * commits. A row is written only while its epoch still owns the run, checked in the same
 * transaction, which also renews the lease; each row of a lost run fails by itself.
 */
export const make = Effect.fnUntraced(function* (
  db: Database.Database["Service"],
  lost: (run: string) => OrchestratorError,
  refused: (error: Database.DatabaseError) => OrchestratorError,
) {
  const build = db.build<Tables>()
  const queue = yield* Queue.unbounded<Entry>()

  const renew = ({ row, leaseMs }: Entry) =>
    Effect.map(
      db.run(
        build
          .updateTable("orchestrator_run")
          .set({ lease: Timestamp.now() + leaseMs * 1000 })
          .where("id", "=", row.run)
          .where("epoch", "=", row.epoch)
          .where("state", "=", "running"),
      ),
      (changes) => changes.rows === 1,
    )

  const upsert = (rows: ReadonlyArray<StepRow>) =>
    db.run(
      build
        .insertInto("orchestrator_step")
        .values(rows)
        .onConflict((conflict) =>
          conflict.columns(["run", "name"]).doUpdateSet((eb) => ({
            state: eb.ref("excluded.state"),
            attempt: eb.ref("excluded.attempt"),
            epoch: eb.ref("excluded.epoch"),
            output: eb.ref("excluded.output"),
            error: eb.ref("excluded.error"),
            started: eb.ref("excluded.started"),
            finished: eb.ref("excluded.finished"),
          })),
        ),
    )

  const write = (batch: ReadonlyArray<Entry>) =>
    db.transaction(
      Effect.gen(function* () {
        const owned = new Map<string, boolean>()
        const rows = new Map<string, StepRow>()
        const answers: Array<readonly [Entry, boolean]> = []
        for (const entry of batch) {
          const { row } = entry
          const fence = `${row.run}/${row.epoch}`
          const mine = owned.get(fence) ?? (yield* renew(entry))
          owned.set(fence, mine)
          answers.push([entry, mine])
          // One statement may not write a row twice; the later state is the one that counts.
          if (mine) rows.set(`${row.run}/${row.name}`, row)
        }
        yield* Effect.forEach(statementsOf([...rows.values()]), upsert, { discard: true })
        return answers
      }),
    )

  const settle = (batch: ReadonlyArray<Entry>) =>
    Effect.flatMap(Effect.exit(Effect.mapError(write(batch), refused)), (exit) =>
      Exit.isSuccess(exit)
        ? Effect.forEach(
            exit.value,
            ([{ row, done }, mine]) =>
              mine ? Deferred.succeed(done, undefined) : Deferred.fail(done, lost(row.run)),
            { discard: true },
          )
        : Effect.forEach(batch, ({ done }) => Deferred.failCause(done, exit.cause), {
            discard: true,
          }),
    )

  yield* Effect.forkScoped(
    Effect.forever(
      Effect.flatMap(Queue.takeBetween(queue, 1, batchRows), (batch) =>
        Effect.uninterruptible(settle(batch)),
      ),
    ),
  )
  let closed = false
  const refusal = () =>
    new OrchestratorError({
      reason: "Unavailable",
      message: "the orchestrator was closed; the run continues when it is opened again",
    })
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      closed = true
      return Effect.flatMap(Queue.clear(queue), (left) =>
        Effect.forEach(left, ({ done }) => Deferred.fail(done, refusal()), { discard: true }),
      )
    }),
  )

  return Effect.fnUntraced(function* (row: StepRow, leaseMs: number) {
    if (closed) return yield* refusal()
    const done = yield* Deferred.make<void, OrchestratorError>()
    yield* Queue.offer(queue, { row, leaseMs, done })
    return yield* Deferred.await(done)
  })
})
