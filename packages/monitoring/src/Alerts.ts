/**
 * Evaluates rules and asks for work through core's `Trigger`, once for each rule and window.
 *
 * @module
 */
import { Database, Id, Timestamp, Trigger } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { decoder } from "./internal/decode.ts"
import { measureRule } from "./internal/measure-rule.ts"
import { attempt, toMonitoringError } from "./internal/scan.ts"
import { migrations, type Tables } from "./internal/tables.ts"
import { Monitoring } from "./Monitoring.ts"
import { MonitoringError } from "./MonitoringError.ts"
import { make as checkRule, Rule } from "./Rule.ts"
import { of as windowOf, type Window } from "./Window.ts"

/** What a rule found. */
export interface Evaluation {
  readonly rule: string
  /** The newest complete window. */
  readonly window: Window
  /** Measured in that window; null when there was too little to measure. */
  readonly value: number | null
  readonly samples: number
  /** Whether enough windows in a row were bad. */
  readonly bad: boolean
  readonly reason: string
  /** The alert of this window, when there is one. */
  readonly alert?: Alert
}

/** An alert as recorded. */
export interface Alert {
  readonly id: string
  readonly rule: string
  readonly model: string
  readonly window: Window
  readonly value: number
  readonly threshold: number
  /** When it fired, microseconds UTC. */
  readonly fired: number
  readonly reason: string
  /** What the trigger started; absent until it was taken. */
  readonly triggerId?: string
}

/** Schema of a request to evaluate. */
export const EvaluateRequest = Schema.Struct({
  /** Looks at windows that were complete at this instant, microseconds UTC. */
  at: Schema.Int,
  /** Only these rules; default all. */
  rules: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Says what would fire, records nothing and asks for nothing; default false. */
  dryRun: Schema.optionalKey(Schema.Boolean),
})

/** A request to evaluate. */
export type EvaluateRequest = typeof EvaluateRequest.Type

/** Keeps rules, evaluates them, and keeps what they found. */
export class Alerts extends Context.Service<
  Alerts,
  {
    /**
     * Adds a rule, or replaces the one of that name. A name that has fired keeps its model and its
     * length of window: anything else fails with `Conflict`.
     */
    readonly putRule: (rule: Rule) => Effect.Effect<void, MonitoringError>
    readonly removeRule: (name: string) => Effect.Effect<void, MonitoringError>
    readonly rules: Effect.Effect<ReadonlyArray<Rule>, MonitoringError>
    /**
     * Evaluates rules at an instant. A bad window fires its rule's trigger once, however often and
     * by however many processes it is evaluated; after a crash in between, the next evaluation
     * fires it with the same key, even if its window has passed since. All rules are evaluated
     * before the first failure is reported.
     */
    readonly evaluateRules: (
      request: EvaluateRequest,
    ) => Effect.Effect<ReadonlyArray<Evaluation>, MonitoringError | Trigger.TriggerError>
    /** Alerts, newest first. */
    readonly history: (request?: {
      readonly rule?: string
      readonly model?: string
      readonly limit?: number
    }) => Effect.Effect<ReadonlyArray<Alert>, MonitoringError>
  }
>()("@ashlar/monitoring/Alerts/v1") {}

const toAlert = (row: Tables["monitoring_alert"]): Alert => ({
  id: row.id,
  rule: row.rule,
  model: row.model,
  window: { from: row.window_start, to: row.window_end },
  value: row.value,
  threshold: row.threshold,
  fired: row.fired,
  reason: row.reason,
  ...(row.trigger_id === null ? {} : { triggerId: row.trigger_id }),
})

const valueGauge = Metric.gauge("ashlar_monitoring_rule_value", {
  description: "What a rule measured in its newest complete window.",
})

/** The error with the rule it is about. */
const named = (rule: Rule, cause: unknown): MonitoringError | Trigger.TriggerError => {
  if (cause instanceof Trigger.TriggerError) return cause
  const error = toMonitoringError(cause)
  const { reason, field } = error
  return new MonitoringError({
    reason,
    message: `rule '${rule.name}': ${error.message}`,
    ...(field === undefined ? {} : { field }),
    cause: error,
  })
}

/** Alerts are known by rule and window, so a name that has fired keeps its model and its windows. */
const clash = (
  rule: Rule,
  fired: Tables["monitoring_alert"] | undefined,
): MonitoringError | undefined => {
  if (fired === undefined) return undefined
  const sameWindows = windowOf(fired.window_start, rule.by).to === fired.window_end
  if (fired.model === rule.model && sameWindows) return undefined
  return new MonitoringError({
    reason: "Conflict",
    message: `rule '${rule.name}' has fired for model '${fired.model}' from ${Timestamp.toIso(fired.window_start)} to ${Timestamp.toIso(fired.window_end)}, and would confuse those alerts with its own; give a rule on another model or length of window another name`,
    field: "name",
  })
}

const decodeRequest = decoder(EvaluateRequest, "request to evaluate rules")

const make = Effect.gen(function* () {
  const db = yield* Database.Database
  const monitoring = yield* Monitoring
  const trigger = yield* Trigger.Trigger
  yield* db.migrate("monitoring", migrations)
  const build = db.build<Tables>()

  const rules = db.all(build.selectFrom("monitoring_rule").select("rule").orderBy("name")).pipe(
    Effect.flatMap((rows) =>
      Effect.forEach(rows, ({ rule }) =>
        Effect.flatMap(
          attempt((): typeof Rule.Encoded => JSON.parse(rule)),
          checkRule,
        ),
      ),
    ),
    Effect.mapError(toMonitoringError),
  )

  const alertOf = (rule: string, window: Window) =>
    db.first(
      build
        .selectFrom("monitoring_alert")
        .selectAll()
        .where("rule", "=", rule)
        .where("window_start", "=", window.from),
    )

  /** Asks for the work of an alert. The key is the alert's own, so asking twice starts it once. */
  const ask = Effect.fnUntraced(function* (rule: Rule, row: Tables["monitoring_alert"]) {
    const from = Timestamp.toIso(row.window_start)
    const receipt = yield* trigger.fire({
      key: `monitoring/${rule.name}/${from}`,
      kind: rule.trigger.kind,
      subject: row.model,
      reason: row.reason,
      payload: {
        rule: rule.name,
        model: row.model,
        window: { from, to: Timestamp.toIso(row.window_end) },
        value: row.value,
        threshold: row.threshold,
      },
    })
    yield* db.run(
      build
        .updateTable("monitoring_alert")
        .set({ trigger_id: receipt.triggerId })
        .where("rule", "=", rule.name)
        .where("window_start", "=", row.window_start),
    )
  })

  /** Asks for the work of alerts that were recorded and not taken, however long ago. */
  const askAgain = Effect.fnUntraced(function* (rule: Rule) {
    const pending = yield* db.all(
      build
        .selectFrom("monitoring_alert")
        .selectAll()
        .where("rule", "=", rule.name)
        .where("trigger_id", "is", null)
        .orderBy("window_start"),
    )
    yield* Effect.forEach(pending, (row) => ask(rule, row), { discard: true })
  })

  const fire = Effect.fnUntraced(function* (
    rule: Rule,
    window: Window,
    value: number,
    reason: string,
  ) {
    yield* db.insertMany(
      "monitoring_alert",
      [
        {
          id: Id.make(),
          rule: rule.name,
          model: rule.model,
          window_start: window.from,
          window_end: window.to,
          value,
          threshold: rule.threshold,
          fired: Timestamp.now(),
          reason,
          trigger_id: null,
        },
      ],
      { onConflict: "ignore" },
    )
    const row = yield* alertOf(rule.name, window)
    if (row !== undefined && row.trigger_id === null) yield* ask(rule, row)
    return yield* alertOf(rule.name, window)
  })

  const evaluate = Effect.fnUntraced(function* (rule: Rule, request: EvaluateRequest) {
    if (request.dryRun !== true) yield* askAgain(rule)
    const found = yield* measureRule(monitoring, rule, request.at)
    if (found.value !== null) {
      yield* Metric.update(
        Metric.withAttributes(valueGauge, { rule: rule.name, model: rule.model }),
        found.value,
      )
    }
    const row =
      found.bad && found.value !== null && request.dryRun !== true
        ? yield* fire(rule, found.window, found.value, found.reason)
        : yield* alertOf(rule.name, found.window)
    return { rule: rule.name, ...found, ...(row === undefined ? {} : { alert: toAlert(row) }) }
  })

  const evaluateRules = Effect.fnUntraced(function* (input: EvaluateRequest) {
    const request = yield* decodeRequest(input)
    const known = yield* rules
    const unknown = request.rules?.find((name) => !known.some((rule) => rule.name === name))
    if (unknown !== undefined) {
      return yield* new MonitoringError({
        reason: "NotFound",
        message: `there is no rule '${unknown}'; store it with putRule`,
        field: "rules",
      })
    }
    const chosen = known.filter((rule) => request.rules?.includes(rule.name) ?? true)
    const evaluations: Array<Evaluation> = []
    let failure: MonitoringError | Trigger.TriggerError | undefined
    for (const rule of chosen) {
      const result = yield* Effect.result(evaluate(rule, request))
      if (Result.isSuccess(result)) evaluations.push(result.success)
      else failure ??= named(rule, result.failure)
    }
    if (failure !== undefined) return yield* failure
    return evaluations
  })

  return Alerts.of({
    rules,
    putRule: Effect.fnUntraced(function* (input) {
      const rule = yield* checkRule(input)
      const [fired] = yield* db.all(
        build
          .selectFrom("monitoring_alert")
          .selectAll()
          .where("rule", "=", rule.name)
          .orderBy("fired", "desc")
          .limit(1),
      )
      const conflict = clash(rule, fired)
      if (conflict !== undefined) return yield* conflict
      const row = { model: rule.model, rule: JSON.stringify(rule) }
      yield* db.run(
        build
          .insertInto("monitoring_rule")
          .values({ name: rule.name, created: Timestamp.now(), ...row })
          .onConflict((conflict) => conflict.column("name").doUpdateSet(row)),
      )
    }, Effect.mapError(toMonitoringError)),
    removeRule: (name) =>
      db
        .run(build.deleteFrom("monitoring_rule").where("name", "=", name))
        .pipe(Effect.asVoid, Effect.mapError(toMonitoringError)),
    evaluateRules: (request) =>
      Effect.mapError(evaluateRules(request), (cause) =>
        cause instanceof Trigger.TriggerError ? cause : toMonitoringError(cause),
      ),
    history: (request = {}) => {
      let query = build.selectFrom("monitoring_alert").selectAll()
      if (request.rule !== undefined) query = query.where("rule", "=", request.rule)
      if (request.model !== undefined) query = query.where("model", "=", request.model)
      const limit = Math.min(Math.max(1, Math.trunc(request.limit ?? 100) || 1), 1000)
      return db.all(query.orderBy("fired", "desc").orderBy("id", "desc").limit(limit)).pipe(
        Effect.map((rows) => rows.map(toAlert)),
        Effect.mapError(toMonitoringError),
      )
    },
  })
}).pipe(Effect.mapError(toMonitoringError))

/** The service on the Monitoring, Database and Trigger of the context. */
export const layer: Layer.Layer<
  Alerts,
  MonitoringError,
  Monitoring | Database.Database | Trigger.Trigger
> = Layer.effect(Alerts, make)
