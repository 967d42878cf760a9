import { broken, type FilterError } from "./FilterError.ts"

/** A set of code points: inclusive ranges, or everything but them. */
interface CharSet {
  readonly ranges: ReadonlyArray<readonly [number, number]>
  readonly negated: boolean
}

type Node =
  | { readonly kind: "set"; readonly set: CharSet }
  | { readonly kind: "seq" | "alt"; readonly parts: ReadonlyArray<Node> }
  | {
      readonly kind: "repeat"
      readonly part: Node
      readonly min: number
      /** Infinity: no end. */
      readonly max: number
    }

/**
 * An automaton without empty moves: state 0 is the start, each other state is entered by reading a
 * character of its set. It runs in time linear in the text, so that no pattern can stall it.
 */
export interface Regex {
  readonly sets: ReadonlyArray<CharSet | undefined>
  readonly edges: ReadonlyArray<ReadonlyArray<number>>
  readonly accepting: ReadonlySet<number>
  readonly fromStart: boolean
  readonly toEnd: boolean
  /** The same in PostgreSQL's notation. */
  readonly postgres: string
}

const maxStates = 200
const maxRepeat = 100
const digits: CharSet["ranges"] = [[48, 57]]
const words: CharSet["ranges"] = [...digits, [65, 90], [95, 95], [97, 122]]
const spaces: CharSet["ranges"] = [
  [9, 13],
  [32, 32],
]
const any: CharSet = { ranges: [], negated: true }
const classes: Readonly<Record<string, CharSet>> = {
  d: { ranges: digits, negated: false },
  D: { ranges: digits, negated: true },
  w: { ranges: words, negated: false },
  W: { ranges: words, negated: true },
  s: { ranges: spaces, negated: false },
  S: { ranges: spaces, negated: true },
}
const controls: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9 }

/** Whether a set has a code point. */
const has = (set: CharSet, point: number): boolean =>
  set.ranges.some(([low, high]) => point >= low && point <= high) !== set.negated

class Reader {
  readonly #chars: ReadonlyArray<string>
  readonly #offset: number
  readonly #end: number
  #at: number

  constructor(chars: ReadonlyArray<string>, offset: number, start: number, end: number) {
    this.#chars = chars
    this.#offset = offset
    this.#at = start
    this.#end = end
  }

  #peek(): string {
    return this.#at < this.#end ? (this.#chars[this.#at] ?? "") : ""
  }

  #fail(message: string): FilterError {
    const before = this.#chars.slice(0, this.#at).join("").length
    return broken("regex", { at: this.#offset + before, text: this.#peek() }, message)
  }

  whole(): Node {
    const node = this.#alternatives(0)
    if (this.#at < this.#end) throw this.#fail("A parenthesis is closed that was not opened")
    return node
  }

  #alternatives(depth: number): Node {
    if (depth > 20) throw this.#fail("Groups nest at most 20 deep")
    const parts = [this.#sequence(depth)]
    while (this.#peek() === "|") {
      this.#at += 1
      parts.push(this.#sequence(depth))
    }
    const [first] = parts
    return parts.length === 1 && first !== undefined ? first : { kind: "alt", parts }
  }

  #sequence(depth: number): Node {
    const parts: Array<Node> = []
    while (this.#peek() !== "" && this.#peek() !== "|" && this.#peek() !== ")") {
      parts.push(this.#repeated(this.#atom(depth)))
    }
    return { kind: "seq", parts }
  }

  #repeated(part: Node): Node {
    const sign = this.#peek()
    const counted = sign === "{"
    if (!counted && !["*", "+", "?"].includes(sign)) return part
    const [min, max] = counted
      ? this.#counts()
      : ([sign === "+" ? 1 : 0, sign === "?" ? 1 : Infinity] as const)
    if (!counted) this.#at += 1
    if (["*", "+", "?", "{"].includes(this.#peek())) {
      throw this.#fail("A repetition follows a repetition; lazy ones have no meaning here")
    }
    return { kind: "repeat", part, min, max }
  }

  #counts(): readonly [number, number] {
    const rest = this.#chars.slice(this.#at, Math.min(this.#at + 12, this.#end)).join("")
    const match = /^\{(\d{1,4})(?:(,)(\d{1,4})?)?\}/.exec(rest)
    if (match === null) throw this.#fail("A brace is written \\{, or counts: {2}, {2,}, {2,5}")
    const min = Number(match[1])
    const max = match[2] === undefined ? min : match[3] === undefined ? Infinity : Number(match[3])
    if (min > maxRepeat || (max !== Infinity && (max > maxRepeat || max < min))) {
      throw this.#fail(`A count is at most ${maxRepeat}, the smaller one first`)
    }
    this.#at += match[0].length
    return [min, max]
  }

  #atom(depth: number): Node {
    const char = this.#peek()
    if (char === "(") {
      this.#at += 1
      if (this.#peek() === "?") {
        this.#at += 1
        if (this.#peek() !== ":") {
          throw this.#fail("Only plain groups are understood: no look-around, names or flags")
        }
        this.#at += 1
      }
      const inner = this.#alternatives(depth + 1)
      if (this.#peek() !== ")") throw this.#fail("A parenthesis is not closed")
      this.#at += 1
      return inner
    }
    if (char === "[") return { kind: "set", set: this.#brackets() }
    if (["*", "+", "?", "{"].includes(char)) throw this.#fail("Nothing to repeat")
    if (char === "^" || char === "$") {
      throw this.#fail(
        "^ stands first and $ last in the whole expression: put alternatives in a group, ^(a|b)$",
      )
    }
    this.#at += 1
    if (char === ".") return { kind: "set", set: any }
    if (char === "\\") return { kind: "set", set: this.#escape() }
    return { kind: "set", set: single(char) }
  }

  /** What follows a backslash. */
  #escape(): CharSet {
    const char = this.#peek()
    const named = Object.hasOwn(classes, char) ? classes[char] : undefined
    const control = Object.hasOwn(controls, char) ? controls[char] : undefined
    if (named === undefined && control === undefined && /^(?:[A-Za-z0-9]|)$/.test(char)) {
      throw this.#fail("Known escapes are \\d \\w \\s \\D \\W \\S \\n \\r \\t and signs")
    }
    this.#at += 1
    if (named !== undefined) return named
    return control === undefined ? single(char) : { ranges: [[control, control]], negated: false }
  }

  #brackets(): CharSet {
    this.#at += 1
    const negated = this.#peek() === "^"
    if (negated) this.#at += 1
    const ranges: Array<readonly [number, number]> = []
    while (this.#peek() !== "]") {
      const low = this.#member()
      if (this.#peek() === "-" && this.#chars[this.#at + 1] !== "]") {
        this.#at += 1
        const high = this.#member()
        const [from, to] = [pointOf(low), pointOf(high)]
        if (from === undefined || to === undefined || from > to) {
          throw this.#fail("A range goes from a smaller to a greater character")
        }
        ranges.push([from, to])
      } else ranges.push(...low.ranges)
      if (ranges.length > 100) throw this.#fail("A bracket has at most 100 parts")
    }
    if (ranges.length === 0) throw this.#fail("A bracket is empty")
    this.#at += 1
    return { ranges, negated }
  }

  #member(): CharSet {
    const char = this.#peek()
    if (char === "") throw this.#fail("A bracket is not closed")
    if (char === "[") throw this.#fail("Inside a bracket, write \\[")
    this.#at += 1
    if (char !== "\\") return single(char)
    const set = this.#escape()
    if (set.negated) throw this.#fail("\\D, \\W and \\S cannot stand inside a bracket")
    return set
  }
}

const single = (char: string): CharSet => {
  const point = char.codePointAt(0) ?? 0
  return { ranges: [[point, point]], negated: false }
}

const pointOf = ({ ranges }: CharSet): number | undefined => {
  const [only] = ranges
  return ranges.length === 1 && only !== undefined && only[0] === only[1] ? only[0] : undefined
}

/** First and last states of a part, and whether it may read nothing. */
interface Ends {
  readonly first: ReadonlyArray<number>
  readonly last: ReadonlyArray<number>
  readonly empty: boolean
}

/** Numbers the characters of a tree and connects them (Glushkov, 1961). */
const build = (node: Node, fail: (message: string) => FilterError) => {
  const sets: Array<CharSet | undefined> = [undefined]
  const edges: Array<Set<number>> = [new Set()]
  const none: Ends = { first: [], last: [], empty: true }
  let work = 0
  const link = (from: ReadonlyArray<number>, to: ReadonlyArray<number>) => {
    for (const source of from) {
      for (const target of to) {
        work += 1
        if (work > 20_000) throw fail("The expression is too large: shorten its repetitions")
        edges[source]?.add(target)
      }
    }
  }
  const join = (a: Ends, b: Ends): Ends => {
    link(a.last, b.first)
    return {
      first: a.empty ? [...a.first, ...b.first] : a.first,
      last: b.empty ? [...a.last, ...b.last] : b.last,
      empty: a.empty && b.empty,
    }
  }
  const visit = (part: Node): Ends => {
    work += 1
    if (work > 20_000) throw fail("The expression is too large: shorten its repetitions")
    switch (part.kind) {
      case "set": {
        const state = sets.push(part.set) - 1
        if (state > maxStates) {
          throw fail(
            `The expression has more than ${maxStates} characters, counted with repetitions`,
          )
        }
        edges.push(new Set())
        return { first: [state], last: [state], empty: false }
      }
      case "seq":
        return part.parts.reduce((ends, next) => join(ends, visit(next)), none)
      case "alt": {
        const all = part.parts.map(visit)
        return {
          first: all.flatMap(({ first }) => first),
          last: all.flatMap(({ last }) => last),
          empty: all.some(({ empty }) => empty),
        }
      }
      case "repeat": {
        let ends = none
        for (let count = 0; count < part.min; count++) ends = join(ends, visit(part.part))
        if (part.max === Infinity) {
          const loop = visit(part.part)
          link(loop.last, loop.first)
          return join(ends, { ...loop, empty: true })
        }
        for (let count = part.min; count < part.max; count++) {
          ends = join(ends, { ...visit(part.part), empty: true })
        }
        return ends
      }
    }
  }
  const ends = visit(node)
  link([0], ends.first)
  return {
    sets,
    edges: edges.map((to) => [...to]),
    accepting: new Set(ends.empty ? [0, ...ends.last] : ends.last),
  }
}

const code = (point: number): string =>
  point > 0xffff
    ? `\\U${point.toString(16).padStart(8, "0")}`
    : `\\u${point.toString(16).padStart(4, "0")}`

const written = (node: Node): string => {
  switch (node.kind) {
    case "set": {
      const { ranges, negated } = node.set
      if (ranges.length === 0) return "."
      return `[${negated ? "^" : ""}${ranges.map(([low, high]) => (low === high ? code(low) : `${code(low)}-${code(high)}`)).join("")}]`
    }
    case "seq":
      return node.parts.map(written).join("")
    case "alt":
      return `(?:${node.parts.map(written).join("|")})`
    case "repeat":
      return `(?:${written(node.part)}){${node.min},${node.max === Infinity ? "" : node.max}}`
  }
}

/** Compiles a pattern, or throws a {@link FilterError}; `offset` is where it stands in the filter. */
export const compile = (pattern: string, offset = 0): Regex => {
  const chars = [...pattern]
  const fail = (message: string) => broken("regex", { at: offset, text: pattern }, message)
  const fromStart = chars[0] === "^"
  // An escaped dollar is a character; an even number of backslashes escapes nothing.
  const slashes = /(\\*)\$$/.exec(pattern)?.[1]
  const toEnd = slashes !== undefined && slashes.length % 2 === 0
  const reader = new Reader(chars, offset, fromStart ? 1 : 0, chars.length - (toEnd ? 1 : 0))
  const node = reader.whole()
  if (node.kind === "alt" && (fromStart || toEnd)) {
    throw fail("Put the alternatives of an anchored expression in a group: ^(a|b)$")
  }
  const body = written(node)
  return {
    ...build(node, fail),
    fromStart,
    toEnd,
    postgres: `${fromStart ? "^" : ""}${body}${toEnd ? "$" : ""}`,
  }
}

/** Whether a text has a match. */
export const matches = (regex: Regex, text: string): boolean => {
  const { sets, edges, accepting, fromStart, toEnd } = regex
  let states: ReadonlySet<number> = new Set([0])
  const accepted = (): boolean => [...states].some((state) => accepting.has(state))
  for (const char of text) {
    if (!toEnd && accepted()) return true
    const point = char.codePointAt(0) ?? 0
    const next = new Set<number>(fromStart ? [] : [0])
    for (const state of states) {
      for (const to of edges[state] ?? []) {
        const set = sets[to]
        if (set !== undefined && has(set, point)) next.add(to)
      }
    }
    states = next
  }
  return accepted()
}
