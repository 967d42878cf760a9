/** How two runs differ. */
import type { MetricPoint, RunInput, RunRecord } from "../../Runs.ts"
import type { Source } from "./source.ts"

/** Two values of one name. */
export interface Change {
  readonly name: string
  readonly a?: string
  readonly b?: string
}

/** How far a metric drifted. */
export interface MetricDrift {
  readonly metric: string
  /** The last values. */
  readonly last: { readonly a?: number; readonly b?: number }
  readonly points: { readonly a: number; readonly b: number }
  /** Greatest |a - b| of points at the same step; NaN beside a number counts as infinite. */
  readonly maxAbsolute: number
  /** Greatest |a - b| / max(|a|, |b|). */
  readonly maxRelative: number
  /** Same steps, same values to the last bit. */
  readonly identical: boolean
}

/** A report on two runs. */
export interface Comparison {
  readonly a: string
  readonly b: string
  /** Nothing differs: metrics, parameters, datasets. */
  readonly identical: boolean
  readonly metrics: ReadonlyArray<MetricDrift>
  readonly params: ReadonlyArray<Change>
  readonly datasets: ReadonlyArray<Change>
  /** Code, lockfiles, runtime, machine, variables and seeds. */
  readonly environment: ReadonlyArray<Change>
}

/** Everything known of one of the runs. */
export interface Side {
  readonly run: RunRecord
  readonly histories: ReadonlyMap<string, ReadonlyArray<MetricPoint>>
  readonly inputs: ReadonlyArray<RunInput>
  readonly source?: Source
}

const changes = (
  a: Readonly<Record<string, string>>,
  b: Readonly<Record<string, string>>,
): ReadonlyArray<Change> =>
  [...new Set([...Object.keys(a), ...Object.keys(b)])]
    .toSorted((one, two) => (one < two ? -1 : 1))
    .flatMap((name) => {
      const [before, after] = [a[name], b[name]]
      if (before === after) return []
      return [
        {
          name,
          ...(before === undefined ? {} : { a: before }),
          ...(after === undefined ? {} : { b: after }),
        },
      ]
    })

/** Points by step; those of one step in the order they were logged. */
const byStep = (points: ReadonlyArray<MetricPoint>): ReadonlyMap<string, number> => {
  const seen = new Map<number, number>()
  return new Map(
    points.map(({ step, value }) => {
      const nth = seen.get(step) ?? 0
      seen.set(step, nth + 1)
      return [`${step}/${nth}`, value]
    }),
  )
}

/** How far the series of a metric are apart. */
export const driftOf = (
  metric: string,
  a: ReadonlyArray<MetricPoint>,
  b: ReadonlyArray<MetricPoint>,
): MetricDrift => {
  const [before, after] = [byStep(a), byStep(b)]
  let maxAbsolute = 0
  let maxRelative = 0
  let identical = before.size === after.size
  for (const [step, x] of before) {
    const y = after.get(step)
    if (y === undefined) identical = false
    else if (!Object.is(x, y)) {
      identical = false
      const gap = x === y ? 0 : Math.abs(x - y)
      const scale = Math.max(Math.abs(x), Math.abs(y))
      maxAbsolute = Math.max(maxAbsolute, Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap)
      const share = gap === 0 ? 0 : gap / scale
      maxRelative = Math.max(maxRelative, Number.isNaN(share) ? Number.POSITIVE_INFINITY : share)
    }
  }
  const [lastA, lastB] = [a.at(-1)?.value, b.at(-1)?.value]
  return {
    metric,
    last: {
      ...(lastA === undefined ? {} : { a: lastA }),
      ...(lastB === undefined ? {} : { b: lastB }),
    },
    points: { a: a.length, b: b.length },
    maxAbsolute,
    maxRelative,
    identical,
  }
}

const datasetsOf = ({ inputs, source }: Side): Readonly<Record<string, string>> =>
  Object.fromEntries(
    [...(source?.datasets ?? []), ...inputs].map(({ name, digest, uri }) => [
      name,
      digest === undefined || digest === "" ? uri : digest,
    ]),
  )

const environmentOf = ({ source }: Side): Readonly<Record<string, string>> => {
  if (source === undefined) return {}
  const { git, tree, lockfiles, runtime, machine, env, seeds, command } = source
  const named = (prefix: string, record: Readonly<Record<string, string | number>>) =>
    Object.entries(record).map(([name, value]) => [`${prefix}${name}`, String(value)] as const)
  return Object.fromEntries([
    ["code", tree.digest],
    ["commit", git?.commit ?? ""],
    ["command", JSON.stringify(command)],
    ["runtime", `${runtime.name} ${runtime.version}`],
    ["os", `${machine.os} ${machine.release} ${machine.arch}`],
    ["cpu", `${machine.cores} x ${machine.cpu}`],
    ["devices", machine.devices.map(({ id, name }) => `${id} ${name}`).join(", ")],
    ...lockfiles.map(({ path, digest }) => [`lockfile ${path}`, digest] as const),
    ...named("package ", runtime.packages),
    ...named("env ", env),
    ...named("seed ", seeds),
  ])
}

/** Compares two runs; metrics of the system drift always and are left out. */
export const compareSides = (a: Side, b: Side): Comparison => {
  const names = [...new Set([...a.histories.keys(), ...b.histories.keys()])]
  const metrics = names
    .filter((name) => !name.startsWith("system/"))
    .toSorted((one, two) => (one < two ? -1 : 1))
    .map((name) => driftOf(name, a.histories.get(name) ?? [], b.histories.get(name) ?? []))
  const params = changes(a.run.params, b.run.params)
  const datasets = changes(datasetsOf(a), datasetsOf(b))
  return {
    a: a.run.runId,
    b: b.run.runId,
    identical:
      metrics.every(({ identical }) => identical) && params.length === 0 && datasets.length === 0,
    metrics,
    params,
    datasets,
    environment: changes(environmentOf(a), environmentOf(b)),
  }
}
