/**
 * The orchestrator over HTTP: list, look at, cancel runs, and fire triggers. Instants are ISO 8601
 * with `Z`.
 *
 * @module
 */
import { Timestamp, Trigger } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import type { FastifyInstance } from "fastify"
import { Orchestrator } from "./Orchestrator.ts"
import { RunInfo, RunState, StepInfo } from "./Run.ts"

/** What the plugin serves, and to whom. */
export interface PluginOptions {
  /** The Effect side: `ManagedRuntime.make(Orchestrator.layer().pipe(Layer.provide(...)))`. */
  readonly runtime: ManagedRuntime.ManagedRuntime<Orchestrator, unknown>
  /** Tokens need a scope on this project; default: on any. */
  readonly project?: string
}

const { created: _created, finished: _finished, ...runFields } = RunInfo.fields
const Run = Schema.Struct({
  ...runFields,
  created: Schema.String,
  finished: Schema.optionalKey(Schema.String),
})

const { started: _started, finished: _ended, ...stepFields } = StepInfo.fields
const Step = Schema.Struct({
  ...stepFields,
  started: Schema.String,
  finished: Schema.optionalKey(Schema.String),
})

const RunPage = Schema.Struct({
  items: Schema.Array(Run),
  next: Schema.optionalKey(Schema.String),
})

const RunWithSteps = Schema.Struct({ ...Run.fields, steps: Schema.Array(Step) })

const Receipt = Schema.Struct({ triggerId: Schema.String, duplicate: Schema.Boolean })

const Params = Schema.Struct({ id: Schema.NonEmptyString })

const finishedOf = (finished: number | undefined) =>
  finished === undefined ? {} : { finished: Timestamp.toIso(finished) }

const runOf = ({ created, finished, ...rest }: RunInfo): typeof Run.Type => ({
  ...rest,
  created: Timestamp.toIso(created),
  ...finishedOf(finished),
})

const stepOf = ({ started, finished, ...rest }: StepInfo): typeof Step.Type => ({
  ...rest,
  started: Timestamp.toIso(started),
  ...finishedOf(finished),
})

/**
 * `GET /v1/runs`, `GET /v1/runs/:id` (with its steps), `POST /v1/runs/:id/cancel`,
 * `POST /v1/triggers`; `/health/ready` includes the database.
 *
 * @example
 * ```ts no-run
 * import * as HttpKit from "@ashlar/core/fastify"
 * import * as Sqlite from "@ashlar/core/sqlite"
 * import { Orchestrator } from "@ashlar/orchestrator"
 * import { plugin } from "@ashlar/orchestrator/fastify"
 * import * as Layer from "effect/Layer"
 * import * as ManagedRuntime from "effect/ManagedRuntime"
 *
 * const database = Sqlite.layer({ file: "orchestrator.sqlite" })
 * const runtime = ManagedRuntime.make(Orchestrator.layer().pipe(Layer.provide(database)))
 * const server = await HttpKit.makeServer({
 *   auth: "off-on-loopback",
 *   port: 8091,
 *   register: (app) => app.register(plugin, { runtime }),
 * })
 * ```
 */
export const plugin = async (app: FastifyInstance, options: PluginOptions): Promise<void> => {
  const { runtime } = options
  const scope = options.project === undefined ? {} : { project: options.project }
  const tag = "orchestrator"

  HttpKit.addCheck(
    app,
    "orchestrator",
    Effect.tryPromise(() =>
      runtime.runPromise(
        Effect.flatMap(Orchestrator, (orchestrator) => orchestrator.listRuns({ limit: 1 })),
      ),
    ),
  )

  HttpKit.route(app, runtime, {
    method: "GET",
    url: "/v1/runs",
    operation: "listRuns",
    summary: "Runs, newest first",
    tag,
    access: { verb: "read", ...scope },
    query: Schema.Struct({
      workflow: Schema.optionalKey(Schema.NonEmptyString),
      state: Schema.optionalKey(RunState),
      limit: Schema.optionalKey(Schema.NumberFromString),
      token: Schema.optionalKey(Schema.String),
    }),
    response: RunPage,
    handler: ({ query }) =>
      Effect.gen(function* () {
        const orchestrator = yield* Orchestrator
        const { items, ...rest } = yield* orchestrator.listRuns(query)
        return { items: items.map(runOf), ...rest }
      }),
  })

  HttpKit.route(app, runtime, {
    method: "GET",
    url: "/v1/runs/:id",
    operation: "getRun",
    summary: "A run and its steps",
    tag,
    access: { verb: "read", ...scope },
    params: Params,
    response: RunWithSteps,
    handler: ({ params }) =>
      Effect.gen(function* () {
        const orchestrator = yield* Orchestrator
        const run = yield* orchestrator.getRun(params.id)
        const steps = yield* orchestrator.steps(params.id)
        return { ...runOf(run), steps: steps.map(stepOf) }
      }),
  })

  HttpKit.route(app, runtime, {
    method: "POST",
    url: "/v1/runs/:id/cancel",
    operation: "cancelRun",
    summary: "Cancels a run that has not ended; one that has stays as it is",
    tag,
    access: { verb: "write", ...scope },
    params: Params,
    response: Run,
    handler: ({ params }) =>
      Effect.gen(function* () {
        const orchestrator = yield* Orchestrator
        return runOf(yield* orchestrator.cancel(params.id))
      }),
  })

  HttpKit.route(app, runtime, {
    method: "POST",
    url: "/v1/triggers",
    operation: "fireTrigger",
    summary: "Asks for work; the same key asks once",
    tag,
    access: { verb: "write", ...scope },
    body: Trigger.TriggerEvent,
    response: Receipt,
    status: 202,
    handler: ({ body }) =>
      Effect.gen(function* () {
        const orchestrator = yield* Orchestrator
        return yield* orchestrator.fire(body)
      }),
  })
}
