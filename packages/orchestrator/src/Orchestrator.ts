/**
 * Starts, continues, lists and cancels durable runs, and turns triggers into runs. State is in the
 * {@link Database}: SQLite for one machine, PostgreSQL for several.
 *
 * @module
 */
import { Database, Digest, Page, Timestamp, Trigger } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Execution from "./internal/execution.ts"
import * as Journal from "./internal/journal.ts"
import type { RunRow } from "./internal/migrations.ts"
import * as Owner from "./internal/owner.ts"
import { OrchestratorError, type Workflow } from "./Workflow.ts"

export { OrchestratorError } from "./Workflow.ts"

/** State of a run; `pending`: waits for a process to work on it. */
export type RunState = "pending" | "running" | "succeeded" | "failed" | "cancelled"

/** A run as stored. */
export interface RunInfo {
  readonly id: string
  readonly workflow: string
  readonly key: string
  readonly version: string
  readonly state: RunState
  readonly created: Timestamp.Timestamp
  readonly finished?: Timestamp.Timestamp
  /** Why it failed. */
  readonly error?: string
}

/** A step as stored. */
export interface StepInfo {
  readonly name: string
  readonly state: "running" | "succeeded" | "failed"
  readonly attempt: number
  readonly started: Timestamp.Timestamp
  readonly finished?: Timestamp.Timestamp
  readonly error?: string
}

/** Which run to start: the same key names the same run. */
export interface StartOptions<Input> {
  readonly key: string
  readonly input: Input
}

/** Starts a workflow when a trigger of this kind fires. */
export interface Subscription<Input, Output, E, R> {
  readonly kind: string
  readonly workflow: Workflow<Input, Output, E, R>
  readonly start: (event: Trigger.TriggerEvent) => StartOptions<Input>
}

/** Settings of the orchestrator. */
export interface Options {
  /**
   * How long a silent process keeps its runs, milliseconds; default 15000. A process of the same
   * host that died is noticed at once.
   */
  readonly leaseMs?: number
  /** How often waiting callers and the worker look, milliseconds; default 200. */
  readonly pollMs?: number
  readonly onStep?: Execution.StepListener
}

/** Runs durable workflows. */
export class Orchestrator extends Context.Service<
  Orchestrator,
  {
    /**
     * Runs a workflow to its end and returns its result: starts it, or continues it where a crash
     * or a failure left it, or returns the result it already has. While another live process works
     * on it, waits for that one.
     */
    readonly execute: <Input, Output, E, R>(
      workflow: Workflow<Input, Output, E, R>,
      options: StartOptions<Input>,
    ) => Effect.Effect<Output, E | OrchestratorError, R>
    /** Stores a run for a {@link work} loop to pick up. */
    readonly start: <Input, Output, E, R>(
      workflow: Workflow<Input, Output, E, R>,
      options: StartOptions<Input>,
    ) => Effect.Effect<RunInfo, OrchestratorError>
    /**
     * The result of a run that some process works on; fails when the run fails. A run that is not
     * there yet, such as one a trigger is about to start, is waited for.
     */
    readonly wait: <Input, Output, E, R>(
      workflow: Workflow<Input, Output, E, R>,
      key: string,
    ) => Effect.Effect<Output, OrchestratorError>
    /** Works on subscribed triggers and their runs until the scope closes. */
    readonly work: <Input, Output, E, R>(
      subscription: Subscription<Input, Output, E, R>,
    ) => Effect.Effect<void, OrchestratorError, R | Scope.Scope>
    readonly getRun: (id: string) => Effect.Effect<RunInfo, OrchestratorError>
    readonly findRun: (
      workflow: string,
      key: string,
    ) => Effect.Effect<RunInfo | undefined, OrchestratorError>
    /** Runs, newest first. */
    readonly listRuns: (
      page?: Page.PageRequest,
    ) => Effect.Effect<Page.Page<RunInfo>, OrchestratorError>
    readonly steps: (runId: string) => Effect.Effect<ReadonlyArray<StepInfo>, OrchestratorError>
    /** Cancels a run that is not final; the process that works on it stops at its next heartbeat. */
    readonly cancel: (runId: string) => Effect.Effect<RunInfo, OrchestratorError>
    readonly fire: (
      event: Trigger.TriggerEvent,
    ) => Effect.Effect<Trigger.TriggerReceipt, OrchestratorError>
  }
>()("@ashlar/orchestrator/Orchestrator/v1") {}

const notFound = (id: string) =>
  new OrchestratorError({ reason: "NotFound", message: `there is no run ${JSON.stringify(id)}` })

const info = (row: RunRow): RunInfo => ({
  id: row.id,
  workflow: row.workflow,
  key: row.key,
  version: row.version,
  state: row.state,
  created: row.created,
  ...(row.finished === null ? {} : { finished: row.finished }),
  ...(row.error === null ? {} : { error: row.error }),
})

/** The orchestrator on a {@link Database}. */
export const layer = (
  options: Options = {},
): Layer.Layer<Orchestrator, OrchestratorError, Database.Database> =>
  Layer.effect(Orchestrator, make(options))

const make = Effect.fnUntraced(function* (options: Options) {
  const { leaseMs = 15_000, pollMs = 200, onStep = () => {} } = options
  const journal = yield* Journal.make
  const owner = Owner.self()

  const ensure = Effect.fnUntraced(function* <Input, Output, E, R>(
    workflow: Workflow<Input, Output, E, R>,
    start: StartOptions<Input>,
  ) {
    if (start.key === "" || start.key.length > 512) {
      return yield* new OrchestratorError({
        reason: "InvalidInput",
        field: "key",
        message: `a run key has 1 to 512 characters, this one has ${start.key.length}`,
      })
    }
    const input = yield* Execution.encode(workflow.input, start.input, "input")
    yield* journal.insertRun({
      workflow: workflow.name,
      key: start.key,
      version: workflow.version,
      input,
    })
    const row = yield* load(workflow.name, start.key)
    if (Digest.ofJson(JSON.parse(row.input)) !== Digest.ofJson(JSON.parse(input))) {
      return yield* new OrchestratorError({
        reason: "Conflict",
        field: "input",
        message: `run ${start.key} of ${workflow.name} exists with another input: use another key for other input`,
      })
    }
    return row
  })

  const load = Effect.fnUntraced(function* (workflow: string, key: string) {
    const row = yield* journal.findRun(workflow, key)
    return row ?? (yield* notFound(`${workflow}/${key}`))
  })

  const isFree = (row: RunRow): boolean =>
    row.state === "pending" ||
    (row.state === "running" &&
      (row.lease < Timestamp.now() || (row.owner !== null && Owner.isGone(row.owner))))

  const cancelled = (row: RunRow) =>
    new OrchestratorError({ reason: "Cancelled", message: `run ${row.id} was cancelled` })

  const execute = Effect.fnUntraced(function* <Input, Output, E, R>(
    workflow: Workflow<Input, Output, E, R>,
    start: StartOptions<Input>,
  ) {
    let row = yield* ensure(workflow, start)
    while (true) {
      if (row.state === "succeeded") {
        return yield* Execution.decode(workflow.output, row.output, "output")
      }
      if (row.state === "cancelled") return yield* cancelled(row)
      if (row.state === "failed" || isFree(row)) {
        const epoch = yield* journal.claim(row, owner, leaseMs)
        if (epoch !== undefined) {
          return yield* Execution.execute(journal, workflow, row, epoch, leaseMs, onStep)
        }
      }
      yield* Effect.sleep(pollMs)
      row = yield* load(workflow.name, start.key)
    }
  })

  const wait = Effect.fnUntraced(function* <Input, Output, E, R>(
    workflow: Workflow<Input, Output, E, R>,
    key: string,
  ) {
    while (true) {
      const row = yield* journal.findRun(workflow.name, key)
      if (row?.state === "succeeded") {
        return yield* Execution.decode(workflow.output, row.output, "output")
      }
      if (row?.state === "cancelled") return yield* cancelled(row)
      if (row?.state === "failed") {
        return yield* new OrchestratorError({
          reason: "Internal",
          message: `run ${row.id} of ${workflow.name} failed: ${row.error ?? "unknown"}`,
        })
      }
      yield* Effect.sleep(pollMs)
    }
  })

  const dispatch = Effect.fnUntraced(function* <Input, Output, E, R>(
    subscription: Subscription<Input, Output, E, R>,
  ) {
    for (const row of yield* journal.pendingTriggers([subscription.kind])) {
      const { id, key, kind, subject, reason, payload } = row
      const start = subscription.start({ key, kind, subject, reason, payload: JSON.parse(payload) })
      const { name, version } = subscription.workflow
      const input = yield* Execution.encode(subscription.workflow.input, start.input, "input")
      yield* journal.handleTrigger(id, { workflow: name, key: start.key, version, input })
    }
  })

  const workOnce = Effect.fnUntraced(function* <Input, Output, E, R>(
    subscription: Subscription<Input, Output, E, R>,
  ) {
    yield* dispatch(subscription)
    const { workflow } = subscription
    for (const row of yield* journal.runnable([workflow.name], 100)) {
      if (!isFree(row)) continue
      const epoch = yield* journal.claim(row, owner, leaseMs)
      if (epoch === undefined) continue
      // The failure is journaled with the run; the loop goes on with the next one.
      yield* Effect.ignoreCause(Execution.execute(journal, workflow, row, epoch, leaseMs, onStep))
    }
  })

  const getRun = Effect.fnUntraced(function* (id: string) {
    const row = yield* journal.getRun(id)
    return row === undefined ? yield* notFound(id) : info(row)
  })

  return Orchestrator.of({
    execute,
    start: (workflow, start) => Effect.map(ensure(workflow, start), info),
    wait,
    work: (subscription) =>
      workOnce(subscription).pipe(
        // A database that is away for a while must not end the loop.
        Effect.catch((error) => Effect.logWarning("orchestrator worker:", error.message)),
        Effect.andThen(Effect.sleep(pollMs)),
        Effect.forever,
        Effect.forkScoped,
        Effect.asVoid,
      ),
    getRun,
    findRun: (workflow, key) =>
      Effect.map(journal.findRun(workflow, key), (row) =>
        row === undefined ? undefined : info(row),
      ),
    listRuns: Effect.fnUntraced(function* (page = {}) {
      const limit = Math.min(Math.max(page.limit ?? 50, 1), 1000)
      const after = page.token === undefined ? undefined : Page.decodeToken(page.token)
      const [created, id] = after ?? []
      if (page.token !== undefined && (typeof created !== "number" || typeof id !== "string")) {
        return yield* new OrchestratorError({
          reason: "InvalidInput",
          field: "token",
          message: "the page token is not one this service gave: start again without a token",
        })
      }
      const position =
        typeof created === "number" && typeof id === "string" ? { created, id } : undefined
      const rows = yield* journal.listRuns(position, limit)
      const last = rows.at(-1)
      return {
        items: rows.map(info),
        ...(rows.length === limit && last !== undefined
          ? { next: Page.encodeToken([last.created, last.id]) }
          : {}),
      }
    }),
    steps: (runId) =>
      Effect.map(journal.steps(runId), (rows) =>
        rows.map((row) => ({
          name: row.name,
          state: row.state,
          attempt: row.attempt,
          started: row.started,
          ...(row.finished === null ? {} : { finished: row.finished }),
          ...(row.error === null ? {} : { error: row.error }),
        })),
      ),
    cancel: (runId) => Effect.andThen(journal.cancel(runId), getRun(runId)),
    fire: Effect.fnUntraced(function* (event) {
      const valid = yield* Effect.mapError(
        Schema.decodeUnknownEffect(Trigger.TriggerEvent)(event),
        (error) => new OrchestratorError({ reason: "InvalidInput", message: error.message }),
      )
      return yield* journal.fireTrigger(valid)
    }),
  })
})

/** The port {@link Trigger}: fired triggers are stored, and subscribed workflows start. */
export const triggerLayer: Layer.Layer<Trigger.Trigger, never, Orchestrator> = Layer.effect(
  Trigger.Trigger,
  Effect.map(Orchestrator, (orchestrator) =>
    Trigger.Trigger.of({
      fire: (event) =>
        Effect.mapError(
          orchestrator.fire(event),
          (error) =>
            new Trigger.TriggerError({
              reason: error.reason === "InvalidInput" ? "InvalidInput" : "Unavailable",
              message: error.message,
              cause: error,
            }),
        ),
    }),
  ),
)
