import { broken, type FilterError } from "./FilterError.ts"

/** A piece of a filter's text. */
export interface Token {
  /** `quoted` is in double quotes or backticks, `string` in single quotes. */
  readonly kind: "word" | "quoted" | "string" | "number" | "comparator" | "mark" | "end"
  readonly text: string
  readonly at: number
}

/** Most characters of a filter. */
export const maxLength = 100_000

/**
 * In the order of MLflow's own lexer (sqlparse): `.1` is a number, `.1a` a dot and a word, `1a` a
 * word. Each pattern is sticky and has one way to match, so that the text is read once.
 */
const patterns: ReadonlyArray<readonly [Token["kind"] | "space" | "comment", RegExp]> = [
  ["comment", /--|# |\/\*/uy],
  ["space", /\s+/uy],
  ["quoted", /`(?:``|[^`])*`/uy],
  ["number", /-?\d+(?:\.\d+)?e-?\d+(?![\p{L}\p{N}_])/iuy],
  ["number", /-?(?:\d+\.\d*|\.\d+|\d+)(?![\p{L}\p{N}_])/uy],
  ["string", /'(?:''|\\'|[^'])*'/uy],
  ["quoted", /"(?:""|\\"|[^"])*"/uy],
  ["word", /[\p{L}\p{N}_][\p{L}\p{N}_$#]*/uy],
  ["comparator", /[<>=~!]+/uy],
  ["mark", /[().,;]/uy],
]

/** Splits a text, or throws a {@link FilterError}. */
export const tokenize = (text: string): ReadonlyArray<Token> => {
  const whole = { at: 0, text: text.slice(0, 60) }
  if (text.length > maxLength) {
    throw broken("length", whole, `A filter has at most ${maxLength} characters`)
  }
  if (text.includes("\0") || !text.isWellFormed()) {
    throw broken("characters", whole, "A filter has no NUL and no half of a surrogate pair")
  }
  const tokens: Array<Token> = []
  let at = 0
  while (at < text.length) {
    const token = tokenAt(text, at)
    if (token === undefined) throw unreadable(text, at)
    if (token.kind === "comment") throw clause({ at, text: text.slice(at) })
    if (token.kind !== "space") tokens.push({ kind: token.kind, text: token.text, at })
    at += token.text.length
  }
  return [...tokens, { kind: "end", text: "", at: text.length }]
}

const tokenAt = (text: string, at: number) => {
  for (const [kind, pattern] of patterns) {
    pattern.lastIndex = at
    const match = pattern.exec(text)?.[0]
    if (match !== undefined) return { kind, text: match }
  }
  return undefined
}

const unreadable = (text: string, at: number): FilterError => {
  const token = { at, text: String.fromCodePoint(text.codePointAt(at) ?? 0) }
  return /['"`]/.test(token.text)
    ? broken(
        "syntax",
        token,
        `Invalid clause(s) in filter string: '${token.text}'. The quote is not closed`,
      )
    : clause(token)
}

/** MLflow's refusal of what is no clause. */
export const clause = (token: { readonly at: number; readonly text: string }): FilterError =>
  broken("syntax", token, `Invalid clause(s) in filter string: '${token.text.slice(0, 200)}'`)
