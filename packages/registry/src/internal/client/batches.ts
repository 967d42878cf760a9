/** Batches of facts: cut to MLflow's limits, and joined while they fit one request. */
import { type RunTracker, Timestamp } from "@ashlar/core"

type Metric = RunTracker.Metric

/** MLflow's limits for one request. */
const limits = { all: 1000, params: 100, tags: 100 } as const

/** A batch with every time said, so that it means the same whenever it arrives. */
export interface Facts {
  readonly metrics: ReadonlyArray<Metric & { readonly step: number; readonly time: number }>
  readonly params: Readonly<Record<string, string>>
  readonly tags: Readonly<Record<string, string>>
}

/** Fills in what `log` leaves open: step 0, and now. */
export const factsOf = (batch: RunTracker.RunBatch): Facts => {
  const now = Timestamp.now()
  return {
    metrics: (batch.metrics ?? []).map(({ key, value, step = 0, time = now }) => ({
      key,
      value,
      step,
      time,
    })),
    params: Object.fromEntries(
      Object.entries(batch.params ?? {}).map(([key, value]) => [key, String(value)]),
    ),
    tags: { ...batch.tags },
  }
}

const count = (facts: Facts): { params: number; tags: number; all: number } => {
  const params = Object.keys(facts.params).length
  const tags = Object.keys(facts.tags).length
  return { params, tags, all: params + tags + facts.metrics.length }
}

/** How many facts a batch holds. */
export const sizeOf = (facts: Facts): number => count(facts).all

/** Parts that each fit one request, in order: parameters and tags before metrics. */
export const split = (facts: Facts): ReadonlyArray<Facts> => {
  const { params, tags, all } = count(facts)
  if (all <= limits.all && params <= limits.params && tags <= limits.tags) return [facts]
  const parts: Array<Facts> = []
  const cut = <A>(
    items: ReadonlyArray<A>,
    most: number,
    part: (items: ReadonlyArray<A>) => Facts,
  ) => {
    for (let from = 0; from < items.length; from += most) {
      parts.push(part(items.slice(from, from + most)))
    }
  }
  const empty: Facts = { metrics: [], params: {}, tags: {} }
  cut(Object.entries(facts.params), limits.params, (some) => ({
    ...empty,
    params: Object.fromEntries(some),
  }))
  cut(Object.entries(facts.tags), limits.tags, (some) => ({
    ...empty,
    tags: Object.fromEntries(some),
  }))
  cut(facts.metrics, limits.all, (metrics) => ({ ...empty, metrics }))
  return parts
}

/** Two batches of one run as one, or undefined where that would change what they mean. */
export const joined = (first: Facts, second: Facts): Facts | undefined => {
  // The second is refused for changing a parameter; the first must not be refused with it.
  const changes = Object.entries(second.params).some(
    ([key, value]) => Object.hasOwn(first.params, key) && first.params[key] !== value,
  )
  if (changes) return undefined
  const both: Facts = {
    metrics: [...first.metrics, ...second.metrics],
    params: { ...first.params, ...second.params },
    tags: { ...first.tags, ...second.tags },
  }
  return split(both).length === 1 ? both : undefined
}

/** Groups neighbours that travel together; `merges` false keeps each by itself. */
export const groups = <A extends { readonly facts: Facts }>(
  items: ReadonlyArray<A>,
  merges: boolean,
): ReadonlyArray<{ readonly facts: Facts; readonly items: ReadonlyArray<A> }> => {
  const found: Array<{ facts: Facts; items: Array<A> }> = []
  for (const item of items) {
    const last = found.at(-1)
    const both = last !== undefined && merges ? joined(last.facts, item.facts) : undefined
    if (last === undefined || both === undefined) found.push({ facts: item.facts, items: [item] })
    else {
      last.facts = both
      last.items.push(item)
    }
  }
  return found
}
