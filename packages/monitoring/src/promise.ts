/**
 * Monitoring without Effect: the same services, with promises.
 *
 * @module
 */
import type { Database, Trigger } from "@ashlar/core"
import { Facade, type Handle } from "@ashlar/core/promise"
import * as Layer from "effect/Layer"
import * as Alerts from "./Alerts.ts"
import * as Monitoring from "./Monitoring.ts"
import type { MonitoringError } from "./MonitoringError.ts"

/** Where monitoring keeps what it knows. */
export interface Options<D> extends Monitoring.MonitoringOptions {
  /** E.g. core's `Sqlite.layer({ file })`. */
  readonly database: Layer.Layer<Database.Database, D>
}

/**
 * Opens monitoring; `await using` closes it.
 *
 * @example
 * ```ts
 * import * as Sqlite from "@ashlar/core/sqlite"
 * import * as Monitoring from "@ashlar/monitoring/promise"
 *
 * await using monitoring = await Monitoring.make({ database: Sqlite.layer({ file: ":memory:" }) })
 * await monitoring.predictions({
 *   model: "flights",
 *   version: "1",
 *   predictionIds: ["a", "b"],
 *   times: Float64Array.of(0, 1),
 *   features: { distance: Float32Array.of(300, 2500) },
 *   outputs: { probability: Float32Array.of(0.25, 0.75) },
 * })
 * await monitoring.labels({
 *   model: "flights",
 *   predictionIds: ["a", "b"],
 *   times: Float64Array.of(2, 3),
 *   labels: Float64Array.of(0, 1),
 * })
 * const [row] = await monitoring.performance({ model: "flights", by: "day", metrics: ["auc", "brier"] })
 * row?.metrics // => { auc: 1, brier: 0.0625 }
 * ```
 */
export const make = <D>(
  options: Options<D>,
): Promise<
  Facade<Monitoring.Monitoring["Service"]> & Handle<Monitoring.Monitoring, D | MonitoringError>
> =>
  Facade.make(
    Monitoring.Monitoring,
    Monitoring.layer(options).pipe(Layer.provide(options.database)),
  )

/** Where alerts keep their rules, and whom they ask for work. */
export interface AlertOptions<D, T> extends Options<D> {
  readonly trigger: Layer.Layer<Trigger.Trigger, T>
}

/** Opens the alerts of a database that monitoring writes to. */
export const makeAlerts = <D, T>(
  options: AlertOptions<D, T>,
): Promise<Facade<Alerts.Alerts["Service"]> & Handle<Alerts.Alerts, D | T | MonitoringError>> =>
  Facade.make(
    Alerts.Alerts,
    Alerts.layer.pipe(
      Layer.provide(Monitoring.layer(options)),
      Layer.provide(Layer.merge(options.database, options.trigger)),
    ),
  )
