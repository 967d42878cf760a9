/**
 * A profile: everything drift needs to know of a table, in kilobytes. Profiles of parts merge to
 * the profile of the whole: exactly for counts, moments, extremes and categories (up to the number
 * of categories kept), within the stated rank error for quantiles.
 *
 * @module
 */
import { Dataset } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import {
  CategoricalState,
  type Column,
  type ColumnState,
  NumericState,
} from "./internal/column-state.ts"
import { cdf, Kll, quantile as quantileOf, type SketchView } from "./internal/kll.ts"
import { readColumns } from "./internal/arrow-columns.ts"
import { MonitoringError } from "./MonitoringError.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Finite = Schema.Number.check(Schema.isFinite())

/** Schema of a numeric column: NaN and null are missing, infinities are counted apart. */
export const NumericColumn = Schema.Struct({
  kind: Schema.Literal("numeric"),
  count: Count,
  missing: Count,
  infinite: Count,
  mean: Finite,
  /** Sum of squared deviations from the mean; variance is m2 / (count - 1). */
  m2: Finite,
  /** Absent without values. */
  min: Schema.optionalKey(Finite),
  max: Schema.optionalKey(Finite),
  /** KLL quantile sketch: levels of weight 1, 2, 4 ... as base64 of little-endian doubles. */
  sketch: Schema.Struct({
    k: Schema.Int.check(Schema.isBetween({ minimum: 8, maximum: 65_536 })),
    coin: Schema.Int,
    levels: Schema.Array(Schema.String).check(Schema.isMaxLength(60)),
  }),
})

/** Schema of a column of strings. */
export const CategoricalColumn = Schema.Struct({
  kind: Schema.Literal("categorical"),
  count: Count,
  missing: Count,
  /** Values and their counts, most frequent first. */
  values: Schema.Array(Schema.Tuple([Schema.String, Count])),
  /** Values beyond those kept. */
  other: Count,
})

/** Schema of a profile; it is its own JSON form. */
export const Profile = Schema.Struct({
  schema: Schema.Literal("ashlar.profile"),
  version: Schema.Literal(1),
  rows: Count,
  columns: Schema.Record(Schema.String, Schema.Union([NumericColumn, CategoricalColumn])),
})

/** A profile. */
export type Profile = typeof Profile.Type

/** One column of a profile. */
export type ColumnProfile = Profile["columns"][string]

/** How much to keep. */
export interface ProfileOptions {
  /** Size of the quantile sketches; 1024 keeps ranks to about 0.3 %. */
  readonly k?: number
  /** Categories kept a column; default 1000. */
  readonly categories?: number
}

const defaults = { k: 1024, categories: 1000 }

/** Builds a profile batch by batch, in memory that does not grow with the rows. */
export interface Builder {
  /** Adds rows; a column that is absent counts as missing for these rows. */
  readonly add: (
    columns: Readonly<Record<string, Column>>,
    range?: readonly [number, number],
  ) => void
  readonly finish: () => Profile
}

const encodeColumn = (state: ColumnState): ColumnProfile =>
  state.kind === "numeric"
    ? {
        kind: "numeric",
        count: state.count,
        missing: state.missing,
        infinite: state.infinite,
        mean: state.mean,
        m2: state.m2,
        ...(state.count === 0 ? {} : { min: state.min, max: state.max }),
        sketch: state.sketch.encode(),
      }
    : {
        kind: "categorical",
        count: state.count,
        missing: state.missing,
        values: state.sorted(),
        other: state.other,
      }

/** The sketch of a column; refuses one that does not hold the values the column counts. */
const sketchOf = (name: string, column: typeof NumericColumn.Type): Kll => {
  const sketch = Kll.decode(column.sketch)
  if (sketch?.weight === column.count) return sketch
  throw new MonitoringError({
    reason: "Corrupt",
    message: `the sketch of column '${name}' is damaged; make the profile again`,
    field: `columns.${name}.sketch`,
  })
}

const decodeColumn = (
  name: string,
  column: ColumnProfile,
  options: ProfileOptions,
): ColumnState => {
  if (column.kind === "categorical") {
    const state = new CategoricalState(options.categories ?? defaults.categories)
    for (const [value, count] of column.values) state.addCount(value, count)
    state.count = column.count
    state.missing = column.missing
    state.other = column.other
    return state
  }
  const state = new NumericState(column.sketch.k)
  state.sketch = sketchOf(name, column)
  state.count = column.count
  state.missing = column.missing
  state.infinite = column.infinite
  state.mean = column.mean
  state.m2 = column.m2
  state.min = column.min ?? Infinity
  state.max = column.max ?? -Infinity
  return state
}

const kindError = (name: string, was: string, is: string): MonitoringError =>
  new MonitoringError({
    reason: "InvalidInput",
    message: `column '${name}' was ${was} and is now ${is}; give a column one type`,
    field: `columns.${name}`,
  })

const freshState = (column: Column, options: ProfileOptions): ColumnState =>
  Array.isArray(column)
    ? new CategoricalState(options.categories ?? defaults.categories)
    : new NumericState(options.k ?? defaults.k)

const kindOf = (column: Column): ColumnState["kind"] =>
  Array.isArray(column) ? "categorical" : "numeric"

const isBlank = (state: ColumnState): boolean =>
  state.count === 0 && (state.kind === "categorical" || state.infinite === 0)

const allMissing = (column: Column, from: number, to: number): boolean => {
  for (let i = from; i < to; i++) {
    const value = column[i]
    if (value !== null && value !== undefined && !Number.isNaN(value)) return false
  }
  return true
}

const addTo = (state: ColumnState, column: Column, from: number, to: number): void => {
  if (state.kind === "numeric") state.add(column as ArrayLike<number>, from, to)
  else state.add(column as ReadonlyArray<string | null>, from, to)
}

/** An empty builder. */
export const builder = (options: ProfileOptions = {}): Builder => {
  const states = new Map<string, ColumnState>()
  let rows = 0
  return {
    add: (columns, range) => {
      const first = Object.values(columns)[0]
      const [from, to] = range ?? [0, first?.length ?? 0]
      for (const [name, column] of Object.entries(columns)) {
        let state = states.get(name)
        if (state === undefined || (isBlank(state) && state.kind !== kindOf(column))) {
          const missing = state?.missing ?? rows
          state = freshState(column, options)
          state.missing = missing
          states.set(name, state)
        }
        if (state.kind === kindOf(column)) addTo(state, column, from, to)
        // A column without any value has no type yet.
        else if (allMissing(column, from, to)) state.missing += to - from
        else throw kindError(name, state.kind, kindOf(column))
      }
      for (const [name, state] of states) {
        if (!Object.hasOwn(columns, name)) state.missing += to - from
      }
      rows += to - from
    },
    finish: () => ({
      schema: "ashlar.profile",
      version: 1,
      rows,
      columns: Object.fromEntries([...states].map(([name, state]) => [name, encodeColumn(state)])),
    }),
  }
}

/**
 * Profile of columns in memory.
 *
 * @example
 * ```ts
 * import { Profile } from "@ashlar/monitoring"
 *
 * const a = Profile.ofColumns({ delay: Float64Array.of(1, 2, 3) })
 * const b = Profile.ofColumns({ delay: Float64Array.of(4, Number.NaN) })
 * const whole = Profile.merge(a, b)
 * whole.rows // => 5
 * Profile.quantile(whole, "delay", 0.5) // => 2
 * ```
 */
export const ofColumns = (
  columns: Readonly<Record<string, Column>>,
  options: ProfileOptions = {},
): Profile => {
  const build = builder(options)
  build.add(columns)
  return build.finish()
}

/** Profile of two disjoint tables together. Throws when a column's type differs. */
export const merge = (a: Profile, b: Profile, options: ProfileOptions = {}): Profile => {
  const names = new Set([...Object.keys(a.columns), ...Object.keys(b.columns)])
  const columns: Array<readonly [string, ColumnProfile]> = []
  for (const name of names) {
    const left = Object.hasOwn(a.columns, name) ? a.columns[name] : undefined
    const right = Object.hasOwn(b.columns, name) ? b.columns[name] : undefined
    if (left === undefined || right === undefined) {
      const [only, rows] = left === undefined ? [right, a.rows] : [left, b.rows]
      if (only !== undefined) columns.push([name, { ...only, missing: only.missing + rows }])
      continue
    }
    if (left.kind !== right.kind) throw kindError(name, left.kind, right.kind)
    const x = decodeColumn(name, left, options)
    const y = decodeColumn(name, right, options)
    if (x.kind === "numeric" && y.kind === "numeric") {
      if (x.sketch.k !== y.sketch.k) {
        throw new MonitoringError({
          reason: "InvalidInput",
          message: `column '${name}' has sketches of size ${x.sketch.k} and ${y.sketch.k}; make both with the same k`,
          field: `columns.${name}.sketch.k`,
        })
      }
      x.merge(y)
    } else if (x.kind === "categorical" && y.kind === "categorical") x.merge(y)
    columns.push([name, encodeColumn(x)])
  }
  return {
    schema: "ashlar.profile",
    version: 1,
    rows: a.rows + b.rows,
    columns: Object.fromEntries(columns),
  }
}

const isProfile = Schema.decodeUnknownEffect(Profile)

/** Checks a profile that came from outside, e.g. as JSON. */
export const decode = (input: unknown): Effect.Effect<Profile, MonitoringError> =>
  isProfile(input).pipe(
    Effect.mapError(
      (cause) =>
        new MonitoringError({
          reason: "InvalidInput",
          message: `this is no profile of version 1: ${cause.message}`,
          cause,
        }),
    ),
  )

/** Quantiles of a numeric column, ready for questions. Throws when the sketch is damaged. */
export const view = (
  name: string,
  column: typeof NumericColumn.Type,
): SketchView & { readonly rankError: number } => {
  const sketch = sketchOf(name, column)
  return { ...sketch.view(), rankError: sketch.rankError }
}

const numeric = (profile: Profile, name: string): typeof NumericColumn.Type => {
  const column = Object.hasOwn(profile.columns, name) ? profile.columns[name] : undefined
  if (column?.kind === "numeric") return column
  const names = Object.keys(profile.columns).join(", ")
  throw new MonitoringError({
    reason: "NotFound",
    message: `the profile has no numeric column '${name}'; it has ${names}`,
    field: name,
  })
}

/** Quantile of a numeric column, 0 <= q <= 1, within the sketch's rank error; NaN without values. */
export const quantile = (profile: Profile, name: string, q: number): number =>
  quantileOf(view(name, numeric(profile, name)), q)

/** Share of a numeric column's finite values at or below x. */
export const shareBelow = (profile: Profile, name: string, x: number): number =>
  cdf(view(name, numeric(profile, name)), x)

/** Profile of a dataset, read batch by batch. Text becomes categories; instants, booleans and numbers are numeric. */
export const ofDataset = (
  dataset: Dataset.Dataset,
  options: ProfileOptions & { readonly columns?: ReadonlyArray<string> } = {},
): Effect.Effect<Profile, MonitoringError | Dataset.DatasetError> =>
  Effect.suspend(() => {
    const build = builder(options)
    const names = options.columns ?? dataset.schema.fields.map((field) => field.name)
    return dataset.batches.pipe(
      Stream.runForEach((batch) =>
        Effect.gen(function* () {
          const columns = yield* readColumns(batch, names)
          yield* Effect.try({
            try: () => build.add(columns),
            catch: (cause) =>
              cause instanceof MonitoringError
                ? cause
                : new MonitoringError({
                    reason: "Internal",
                    message: "a batch could not be profiled",
                    cause,
                  }),
          })
        }),
      ),
      Effect.map(() => build.finish()),
    )
  })
