/**
 * Entity keys as dense numbers, offline, and as text, online. Parts of a composite key are never
 * joined without their type and length, so ("1", "23") and ("12", "3") are different keys.
 */
import type { KeyType } from "../Entity.ts"

/** A join key column: codes into distinct values, -1 for none. */
export interface KeyColumn {
  readonly codes: Int32Array
  readonly values: ReadonlyArray<string | number>
}

/** The part of an online key for one value. */
export const textOf = (value: string | number): string =>
  typeof value === "number" ? `i${value};` : `s${value.length}:${value}`

/** Codes of whole numbers, -1 for NaN. */
export const encodeNumbers = (numbers: ArrayLike<number>): KeyColumn => {
  const codes = new Int32Array(numbers.length)
  const values: Array<number> = []
  const codeOf = new Map<number, number>()
  for (let i = 0; i < numbers.length; i++) {
    const x = numbers[i] as number
    if (x !== x) {
      codes[i] = -1
      continue
    }
    let code = codeOf.get(x)
    if (code === undefined) {
      code = values.push(x) - 1
      codeOf.set(x, code)
    }
    codes[i] = code
  }
  return { codes, values }
}

/** Distinct pairs of (key so far, next part) as dense ids. */
interface Pairs {
  readonly find: (left: number, right: number) => number
  readonly left: ReadonlyArray<number>
  readonly right: ReadonlyArray<number>
}

/** Up to this many possible pairs, a table finds ids quicker than a map. */
const largestTable = 1 << 22

const idsOf = (lefts: number, rights: number) => {
  if (lefts * rights <= largestTable) {
    const table = new Int32Array(lefts * rights).fill(-1)
    return {
      get: (pair: number) => table[pair] as number,
      set: (pair: number, id: number) => void (table[pair] = id),
    }
  }
  const map = new Map<number, number>()
  return {
    get: (pair: number) => map.get(pair) ?? -1,
    set: (pair: number, id: number) => void map.set(pair, id),
  }
}

const pairUp = (
  left: Int32Array,
  lefts: number,
  right: Int32Array,
  rights: number,
  out: Int32Array,
): Pairs => {
  const leftOf: Array<number> = []
  const rightOf: Array<number> = []
  const ids = idsOf(lefts, rights)
  for (let i = 0; i < left.length; i++) {
    const a = left[i] as number
    const b = right[i] as number
    if (a < 0 || b < 0) {
      out[i] = -1
      continue
    }
    const pair = a * rights + b
    let id = ids.get(pair)
    if (id < 0) {
      id = leftOf.push(a) - 1
      rightOf.push(b)
      ids.set(pair, id)
    }
    out[i] = id
  }
  return {
    find: (a, b) => (a < 0 || b < 0 ? -1 : ids.get(a * rights + b)),
    left: leftOf,
    right: rightOf,
  }
}

/** The entity keys that occur in a source. */
export interface KeySpace {
  readonly size: number
  /** Key of each source row, -1 where a part is missing. */
  readonly rows: Int32Array
  /** Keys of other rows, given their key columns in the same order; -1 for unknown ones. */
  readonly match: (columns: ReadonlyArray<KeyColumn>) => Int32Array
  /** Online text of a key. */
  readonly text: (key: number) => string
}

/** Numbers the keys of a source. */
export const make = (columns: ReadonlyArray<KeyColumn>): KeySpace => {
  const first = columns[0] as KeyColumn
  const steps: Array<Pairs> = []
  let rows = first.codes
  let size = first.values.length
  for (const column of columns.slice(1)) {
    const out = new Int32Array(rows.length)
    const pairs = pairUp(rows, size, column.codes, column.values.length, out)
    steps.push(pairs)
    rows = out
    size = pairs.left.length
  }
  const codeOf = columns.map(
    (column) => new Map<string | number, number>(column.values.map((value, code) => [value, code])),
  )

  const match = (others: ReadonlyArray<KeyColumn>): Int32Array => {
    const translated = others.map((other, part) => {
      const known = codeOf[part] as Map<string | number, number>
      const map = Int32Array.from(other.values, (value) => known.get(value) ?? -1)
      return other.codes.map((code) => (code < 0 ? -1 : (map[code] as number)))
    })
    const keys = (translated[0] as Int32Array).slice()
    for (let step = 0; step < steps.length; step++) {
      const { find } = steps[step] as Pairs
      const right = translated[step + 1] as Int32Array
      for (let i = 0; i < keys.length; i++) keys[i] = find(keys[i] as number, right[i] as number)
    }
    return keys
  }

  const text = (key: number): string => {
    let left = key
    let out = ""
    for (let step = steps.length - 1; step >= 0; step--) {
      const pairs = steps[step] as Pairs
      const value = columns[step + 1]?.values[pairs.right[left] as number]
      out = textOf(value as string | number) + out
      left = pairs.left[left] as number
    }
    return textOf(first.values[left] as string | number) + out
  }

  return { size, rows, match, text }
}

/** What is wrong with a key value of a request, if anything. */
export const problemOf = (value: unknown, type: KeyType): string | undefined => {
  if (value === null || value === undefined) return undefined
  if (type === "string") {
    if (typeof value !== "string") return `is ${typeof value}, the join key is a string`
    return value.includes("\0") ? "has a NUL character" : undefined
  }
  if (typeof value !== "number") return `is ${typeof value}, the join key is an int64`
  return Number.isSafeInteger(value) || Number.isNaN(value)
    ? undefined
    : "is no whole number within 2^53"
}
