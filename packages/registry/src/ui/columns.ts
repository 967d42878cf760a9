import type { KeysAnswer } from "../internal/api/answers.ts"

/** What a column shows. */
export type Kind = "attribute" | "metric" | "param" | "tag"

/** A column of runs. */
export interface Column {
  /** `kind:key`. */
  readonly id: string
  readonly kind: Kind
  readonly key: string
  readonly width: number
}

/** Attributes of a run: their keys here, what they are called, and in the filter language. */
export const attributes = {
  name: { label: "Run", term: "attributes.run_name", width: 230 },
  status: { label: "Status", term: "attributes.status", width: 108 },
  started: { label: "Started", term: "attributes.start_time", width: 124 },
  duration: { label: "Duration", term: undefined, width: 104 },
  user: { label: "User", term: "attributes.user_id", width: 96 },
} as const

const isAttribute = (key: string): key is keyof typeof attributes => Object.hasOwn(attributes, key)

/** The column of an id; `undefined` when the id is none. */
export const columnOf = (id: string): Column | undefined => {
  const at = id.indexOf(":")
  const kind = id.slice(0, at)
  const key = id.slice(at + 1)
  if (kind === "attribute") {
    return isAttribute(key) ? { id, kind, key, width: attributes[key].width } : undefined
  }
  return kind === "metric" || kind === "param" || kind === "tag"
    ? { id, kind, key, width: Math.min(260, Math.max(104, 46 + key.length * 7.6)) }
    : undefined
}

/** What a column is called. */
export const labelOf = ({ kind, key }: Column): string =>
  kind === "attribute" && isAttribute(key) ? attributes[key].label : key

/** The metric that people most likely judge runs by; the empty text when there is none. */
export const mainMetric = (metrics: ReadonlyArray<string>): string =>
  metrics.find((key) =>
    /(^|[/_.-])(val|valid|eval|test).*(auc|acc|f1|score|loss|rmse|mae)/i.test(key),
  ) ??
  metrics.find((key) => /auc|acc|f1|score|loss|rmse|mae|error/i.test(key)) ??
  metrics[0] ??
  ""

/** Metrics with those of the machine last. */
export const systemLast = (metrics: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...metrics.filter((key) => !key.startsWith("system/")),
  ...metrics.filter((key) => key.startsWith("system/")),
]

/** How the filter language names a column; `undefined` when it cannot be searched. */
export const termOf = ({ kind, key }: Column): string | undefined => {
  if (kind === "attribute") return isAttribute(key) ? attributes[key].term : undefined
  const quoted = /^[A-Za-z_][A-Za-z0-9_]*$/.test(key) ? key : `\`${key}\``
  return `${kind}s.${quoted}`
}

/** How a table is arranged; ids of columns. */
export interface Arrangement {
  readonly pinned: ReadonlyArray<string>
  readonly hidden: ReadonlySet<string>
  /** Columns that come before the others, in this order. */
  readonly first: ReadonlyArray<string>
  readonly tags: boolean
}

/** Every column there is, in its usual order. */
export const allColumns = (keys: KeysAnswer, tags: boolean): ReadonlyArray<Column> => {
  const ids = [
    ...Object.keys(attributes).map((key) => `attribute:${key}`),
    ...keys.params.map((key) => `param:${key}`),
    ...keys.metrics.map((key) => `metric:${key}`),
    ...(tags ? keys.tags.map((key) => `tag:${key}`) : []),
  ]
  return ids.flatMap((id) => columnOf(id) ?? [])
}

/** The columns of a table, pinned ones apart. */
export const arrange = (
  columns: ReadonlyArray<Column>,
  { pinned, hidden, first }: Arrangement,
): { readonly pinned: ReadonlyArray<Column>; readonly others: ReadonlyArray<Column> } => {
  const known = new Map(columns.map((column) => [column.id, column]))
  const fixed = pinned.flatMap((id) => known.get(id) ?? [])
  const early = first.flatMap((id) => known.get(id) ?? [])
  const taken = new Set([...pinned, ...first])
  const rest = columns.filter(({ id }) => !taken.has(id))
  const shown = ({ id }: Column) => !hidden.has(id)
  const pins = new Set(pinned)
  return {
    pinned: fixed,
    others: [...early.filter(({ id }) => !pins.has(id)), ...rest].filter(shown),
  }
}

/** The order after a column was dropped before another. */
export const moveBefore = (
  shown: ReadonlyArray<Column>,
  moving: string,
  before: string,
): ReadonlyArray<string> => {
  const ids = shown.map(({ id }) => id).filter((id) => id !== moving)
  const at = ids.indexOf(before)
  if (at < 0) return ids
  // Only what now differs from the usual order is remembered.
  return [...ids.slice(0, at), moving, before]
}
