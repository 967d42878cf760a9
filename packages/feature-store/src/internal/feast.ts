/** Feast's HTTP messages: https://docs.feast.dev/reference/feature-servers/python-feature-server */
import { Dataset, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as FeatureService from "../FeatureService.ts"
import type { FeatureStoreError } from "../FeatureStoreError.ts"
import type { FeatureView } from "../FeatureView.ts"
import { fromCause, invalid, notFound } from "./failures.ts"
import { columnsOf } from "./viewState.ts"
import type { TimedVectors } from "./vectors.ts"

const Cell = Schema.NullOr(Schema.Union([Schema.Number, Schema.String, Schema.Boolean]))
const Table = Schema.Record(Schema.String, Schema.Array(Cell))

/** Body of `POST /get-online-features`. */
export const OnlineRequest = Schema.Struct({
  feature_service: Schema.optional(Schema.NullOr(Schema.String)),
  features: Schema.optional(Schema.NullOr(Schema.Array(Schema.String))),
  entities: Schema.Record(
    Schema.String,
    Schema.Array(Schema.NullOr(Schema.Union([Schema.Number, Schema.String]))),
  ),
  full_feature_names: Schema.optional(Schema.Boolean),
})

/** Body of `POST /push`. */
export const PushRequest = Schema.Struct({
  push_source_name: Schema.String,
  df: Table,
  to: Schema.optional(Schema.Literals(["online", "offline", "online_and_offline"])),
})

/** Body of `POST /materialize`; `start_ts` is not needed, rows are computed from all history. */
export const MaterializeRequest = Schema.Struct({
  start_ts: Schema.optional(Schema.String),
  end_ts: Schema.String,
  feature_views: Schema.optional(Schema.NullOr(Schema.Array(Schema.String))),
})

const noTime = "1970-01-01T00:00:00Z"

/** Which features to serve, in order, and what to call them. */
export interface Selection {
  readonly service: FeatureService.FeatureService
  /** Positions in the service's vectors. */
  readonly columns: ReadonlyArray<number>
  readonly names: ReadonlyArray<string>
}

/** Names as Feast gives them: bare, or `view__feature`. */
const named = (
  service: FeatureService.FeatureService,
  columns: ReadonlyArray<number>,
  full: boolean,
): Selection => {
  const all = service.views.flatMap((view) =>
    view.features.map((feature) => (full ? `${view.name}__${feature}` : feature)),
  )
  const names = columns.map((column) => all[column] ?? "")
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) {
    throw invalid("features", `two features are called '${twice}'; set full_feature_names`)
  }
  return { service, columns, names }
}

/** The features of a service. */
export const ofService = (service: FeatureService.FeatureService, full: boolean): Selection =>
  named(
    service,
    service.features.map((_, i) => i),
    full || service.fullNames,
  )

/** Features by reference, `view:feature`. */
export const ofReferences = (
  references: ReadonlyArray<string>,
  known: ReadonlyArray<FeatureService.View>,
  full: boolean,
): Selection => {
  const parsed = references.map((reference) => {
    const [viewName = "", feature = ""] = reference.split(":")
    const view = known.find(({ name }) => name === viewName)
    if (view === undefined) throw notFound("features", `there is no feature view '${viewName}'`)
    if (!view.features.includes(feature)) {
      throw notFound("features", `feature view '${viewName}' has no feature '${feature}'`)
    }
    return { view, feature }
  })
  const views = [...new Set(parsed.map(({ view }) => view))]
  if (views.length === 0) throw invalid("features", "name features or a feature_service")
  const service = FeatureService.make({ name: "request", views, fullNames: true })
  const columns = parsed.map(({ feature, view }) =>
    service.features.indexOf(`${view.name}__${feature}`),
  )
  return named(service, columns, full)
}

/**
 * A number as JSON that stays a float: clients tell int64 from double by the first value, and would
 * cut the fractions of the others.
 */
const floatText = (value: number): string => {
  if (Number.isNaN(value)) return "null"
  const text = String(value)
  // JSON has no infinity; this is how protobuf, and so Feast, writes it.
  if (!Number.isFinite(value)) return `"${text}"`
  return Number.isInteger(value) && !text.includes("e") ? `${text}.0` : text
}

const cellsText = (values: TimedVectors["values"][number]): string => {
  const cells: Array<string> = []
  for (const value of values) {
    cells.push(typeof value === "number" ? floatText(value) : JSON.stringify(value))
  }
  return `[${cells.join(",")}]`
}

/** The columnar answer as JSON: entity columns first, then one result per feature. */
export const answer = (
  { columns, names }: Selection,
  entities: typeof OnlineRequest.Type.entities,
  vectors: TimedVectors,
): string => {
  const keys = Object.entries(entities)
  const rows = keys[0]?.[1].length ?? 0
  const result = (values: string, statuses: unknown, times: unknown): string =>
    `{"values":${values},"statuses":${JSON.stringify(statuses)},"event_timestamps":${JSON.stringify(times)}}`
  const present = new Array<string>(rows).fill("PRESENT")
  const never = new Array<string>(rows).fill(noTime)
  const results = keys.map(([, values]) => result(JSON.stringify(values), present, never))
  for (const column of columns) {
    const times = Array.from(vectors.events[column] ?? [], (time) =>
      Number.isNaN(time) ? noTime : Timestamp.toIso(time),
    )
    results.push(result(cellsText(vectors.values[column] ?? []), vectors.statuses[column], times))
  }
  const metadata = { feature_names: [...keys.map(([name]) => name), ...names] }
  return `{"metadata":${JSON.stringify(metadata)},"results":[${results.join(",")}]}`
}

const timeOf = (field: string, value: typeof Cell.Type): number | null => {
  if (value === null) return null
  if (typeof value === "number" && Number.isSafeInteger(value)) return value
  const time = typeof value === "string" ? Timestamp.fromIso(value) : undefined
  if (time === undefined) {
    throw invalid(field, `'${String(value)}' is no time; send ISO 8601 or whole microseconds`)
  }
  return time
}

/** An instant of a request. */
export const instant = (field: string, value: string): Effect.Effect<number, FeatureStoreError> =>
  Effect.try({ try: () => timeOf(field, value) as number, catch: fromCause })

/** The pushed columns, typed as the source's views read them. */
export const toDataset = (
  df: typeof Table.Type,
  views: ReadonlyArray<FeatureView>,
): Effect.Effect<Dataset.Dataset, FeatureStoreError> =>
  Effect.try({
    try: () => {
      const uses = new Map(views.flatMap((view) => columnsOf(view)))
      const columns: Record<string, Dataset.ColumnInput> = {}
      for (const [name, cells] of Object.entries(df)) {
        const field = `df.${name}`
        const use = uses.get(name)
        if (use === "time") columns[name] = { micros: cells.map((cell) => timeOf(field, cell)) }
        else if (use === "number") {
          columns[name] = Float64Array.from(cells, (cell, row) => {
            if (typeof cell === "string") {
              throw invalid(`${field}[${row}]`, `'${cell}' is a string, '${name}' is numeric`)
            }
            return cell === null ? Number.NaN : Number(cell)
          })
        } else {
          columns[name] = { strings: cells.map((cell) => (cell === null ? null : String(cell))) }
        }
      }
      return columns
    },
    catch: fromCause,
  }).pipe(Effect.flatMap(Dataset.fromColumns), Effect.mapError(fromCause))
