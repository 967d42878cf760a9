/**
 * Starts, continues, lists and cancels durable runs, and turns triggers into runs. State is in the
 * {@link Database}: SQLite for one machine, PostgreSQL for several.
 *
 * @module
 */
import { type Database, Digest, type Page, Timestamp, Trigger } from "@ashlar/core"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { decode, describe, encode } from "./internal/codec.ts"
import * as Execution from "./internal/execution.ts"
import * as Journal from "./internal/journal.ts"
import * as Lineage from "./internal/lineage.ts"
import * as Metrics from "./internal/metrics.ts"
import { runInfo, stepInfo } from "./internal/infos.ts"
import type { RunRow } from "./internal/migrations.ts"
import * as Owner from "./internal/owner.ts"
import type { RunInfo, RunState, StepEvent, StepInfo } from "./Run.ts"
import { OrchestratorError, type Workflow } from "./Workflow.ts"

export type { RunInfo, RunState, StepEvent, StepInfo } from "./Run.ts"
export { OrchestratorError } from "./Workflow.ts"

/** Which run to start: the same key names the same run. */
export interface StartOptions<Input> {
  readonly key: string
  readonly input: Input
}

/** What a worker works on: the runs of a workflow that were started and wait. */
export interface WorkSource<Input, Output, E, R> {
  readonly workflow: Workflow<Input, Output, E, R>
  /** Runs at a time in this process; default 1. */
  readonly concurrency?: number
}

/** Starts a workflow when a trigger of this kind fires, and works on its runs. */
export interface Subscription<Input, Output, E, R> extends WorkSource<Input, Output, E, R> {
  readonly kind: string
  readonly start: (event: Trigger.TriggerEvent) => StartOptions<Input>
}

/** Which runs to list, and which page of them. */
export interface ListRunsRequest extends Page.PageRequest {
  readonly workflow?: string
  readonly state?: RunState
}

/** Settings of the orchestrator. */
export interface Options {
  /**
   * How long a silent process keeps its runs, milliseconds; default 15000. A process of the same
   * host that died is noticed at once. Hosts whose clocks differ need a longer lease than that.
   */
  readonly leaseMs?: number
  /** How often waiting callers and the worker look, milliseconds; default 200. */
  readonly pollMs?: number
  /** Told of each step as it is replayed, begun and ended. What it throws is ignored. */
  readonly onStep?: (event: StepEvent) => void
  /** Namespace of the jobs in OpenLineage events; default `ashlar`. */
  readonly lineageNamespace?: string
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
    /**
     * Works on the runs of a workflow, and on triggers when subscribed to some, until the scope
     * closes: takes runs that were started, and those of processes that died. Only runs of the
     * workflow's own version. Any number of processes may work on one database.
     */
    readonly work: <Input, Output, E, R>(
      source: WorkSource<Input, Output, E, R> | Subscription<Input, Output, E, R>,
    ) => Effect.Effect<void, OrchestratorError, R | Scope.Scope>
    /** A run by its id. */
    readonly getRun: (id: string) => Effect.Effect<RunInfo, OrchestratorError>
    /** A run by its workflow and key. */
    readonly findRun: (
      workflow: string,
      key: string,
    ) => Effect.Effect<RunInfo | undefined, OrchestratorError>
    /** Runs, newest first. */
    readonly listRuns: (
      request?: ListRunsRequest,
    ) => Effect.Effect<Page.Page<RunInfo>, OrchestratorError>
    /** The steps of a run, in the order they began; none for a run there is not. */
    readonly steps: (runId: string) => Effect.Effect<ReadonlyArray<StepInfo>, OrchestratorError>
    /** Cancels a run that is not final; the process that works on it stops at its next heartbeat. */
    readonly cancel: (runId: string) => Effect.Effect<RunInfo, OrchestratorError>
    /** Stores a trigger for the {@link work} loops subscribed to its kind; the same key fires once. */
    readonly fire: (
      event: Trigger.TriggerEvent,
    ) => Effect.Effect<Trigger.TriggerReceipt, OrchestratorError>
  }
>()("@ashlar/orchestrator/Orchestrator/v1") {}

const notFound = (id: string) =>
  new OrchestratorError({ reason: "NotFound", message: `there is no run ${JSON.stringify(id)}` })

const checkKey = (key: string): Effect.Effect<void, OrchestratorError> =>
  key !== "" && key.length <= 512
    ? Effect.void
    : Effect.fail(
        new OrchestratorError({
          reason: "InvalidInput",
          field: "key",
          message: `a run key has 1 to 512 characters, this one has ${key.length}`,
        }),
      )

/**
 * The orchestrator on a {@link Database}. With core's `LineageSink` in the context it emits an
 * OpenLineage START and terminal event for each run and step.
 */
export const layer = (
  options: Options = {},
): Layer.Layer<Orchestrator, OrchestratorError, Database.Database> =>
  Layer.effect(Orchestrator, make(options))

const make = Effect.fnUntraced(function* (options: Options) {
  const { leaseMs = 15_000, pollMs = 200, onStep = () => {} } = options
  for (const [field, value] of Object.entries({ leaseMs, pollMs })) {
    if (Number.isFinite(value) && value > 0) continue
    return yield* new OrchestratorError({
      reason: "InvalidInput",
      field,
      message: `${field} is ${value}: give a positive number of milliseconds`,
    })
  }
  const journal = yield* Journal.make
  const lineage = yield* Lineage.make(options.lineageNamespace ?? "ashlar")
  const settings = { journal, lineage, owner: Owner.self(), leaseMs, listener: onStep }

  const ensure = Effect.fnUntraced(function* <Input, Output, E, R>(
    workflow: Workflow<Input, Output, E, R>,
    start: StartOptions<Input>,
  ) {
    yield* checkKey(start.key)
    const input = yield* encode(workflow.input, start.input, "input")
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
        return yield* decode(workflow.output, row.output, "output")
      }
      if (row.state === "cancelled") return yield* cancelled(row)
      if (row.state === "failed" || isFree(row)) {
        const done = yield* Execution.claimAndRun(settings, workflow, row)
        if (done !== undefined) return done.output
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
        return yield* decode(workflow.output, row.output, "output")
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
    const { kind, workflow } = subscription
    for (const row of yield* journal.pendingTriggers(kind)) {
      const { id, key, subject, reason, payload } = row
      const event = { key, kind, subject, reason, payload: JSON.parse(payload) }
      const run = Effect.gen(function* () {
        const start = subscription.start(event)
        yield* checkKey(start.key)
        const input = yield* encode(workflow.input, start.input, "input")
        return { workflow: workflow.name, key: start.key, version: workflow.version, input }
      })
      // A trigger nobody can make a run of must not stand in the way of the others.
      yield* Effect.matchCauseEffect(run, {
        onSuccess: (start) => journal.handleTrigger(id, start),
        onFailure: (cause) =>
          Cause.hasInterruptsOnly(cause)
            ? Effect.interrupt
            : Effect.andThen(
                Effect.logError(
                  `trigger ${key} (${kind}) starts no run of ${workflow.name}`,
                  cause,
                ),
                journal.refuseTrigger(id, describe(cause)),
              ),
      })
    }
  })

  const workOnce = Effect.fnUntraced(function* <Input, Output, E, R>(
    workflow: Workflow<Input, Output, E, R>,
  ) {
    for (const row of yield* journal.runnable(workflow.name, workflow.version, 100)) {
      if (!isFree(row)) continue
      // The failure is journaled with the run; the loop goes on with the next one.
      yield* Effect.ignoreCause(Execution.claimAndRun(settings, workflow, row))
    }
  })

  /** A database that is away for a while must not end the loop. */
  const loop = <R>(effect: Effect.Effect<void, OrchestratorError, R>) =>
    effect.pipe(
      Effect.ignoreCause({ log: "Warn", message: "orchestrator worker" }),
      Effect.andThen(Effect.sleep(pollMs)),
      Effect.forever,
      Effect.forkScoped,
    )

  const getRun = Effect.fnUntraced(function* (id: string) {
    const row = yield* journal.getRun(id)
    return row === undefined ? yield* notFound(id) : runInfo(row)
  })

  return Orchestrator.of({
    execute,
    start: (workflow, start) => Effect.map(ensure(workflow, start), runInfo),
    wait,
    work: Effect.fnUntraced(function* (source) {
      const { workflow, concurrency = 1 } = source
      if ("kind" in source) yield* loop(dispatch(source))
      for (let i = 0; i < concurrency; i++) yield* loop(workOnce(workflow))
    }),
    getRun,
    findRun: (workflow, key) =>
      Effect.map(journal.findRun(workflow, key), (row) =>
        row === undefined ? undefined : runInfo(row),
      ),
    listRuns: ({ workflow, state, ...request } = {}) =>
      Effect.map(
        journal.listRuns(
          {
            ...(workflow === undefined ? {} : { workflow }),
            ...(state === undefined ? {} : { state }),
          },
          request,
        ),
        ({ items, ...rest }) => ({ items: items.map(runInfo), ...rest }),
      ),
    steps: (runId) => Effect.map(journal.steps(runId), (rows) => rows.map(stepInfo)),
    cancel: Effect.fnUntraced(function* (runId) {
      const before = yield* journal.getRun(runId)
      if (before === undefined) return yield* notFound(runId)
      if (yield* journal.cancel(runId)) {
        yield* Metrics.runEnded(before.workflow, "cancelled")
        const begun = before.epoch > 0 && before.state !== "failed"
        if (begun) yield* lineage.runEnded(before, { outcome: "cancelled" })
      }
      return yield* getRun(runId)
    }),
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
