import { broken, type FilterError } from "./FilterError.ts"
import { clause as noClause, type Token, tokenize } from "./tokens.ts"

/** Goes through the tokens of one text, front to back. */
export class Cursor {
  readonly #text: string
  readonly #tokens: ReadonlyArray<Token>
  #next = 0

  constructor(text: string) {
    this.#text = text
    this.#tokens = tokenize(text)
  }

  /** The token `ahead` places further. */
  peek(ahead = 0): Token {
    return (
      this.#tokens[Math.min(this.#next + ahead, this.#tokens.length - 1)] ?? {
        kind: "end",
        text: "",
        at: this.#text.length,
      }
    )
  }

  take(): Token {
    const token = this.peek()
    this.#next += 1
    return token
  }

  /** Whether this word comes next, in any case. */
  sees(word: string, ahead = 0): boolean {
    const token = this.peek(ahead)
    return token.kind === "word" && token.text.toUpperCase() === word
  }

  /** Whether this punctuation comes next. */
  seesMark(mark: string, ahead = 0): boolean {
    const token = this.peek(ahead)
    return token.kind === "mark" && token.text === mark
  }

  /** Takes this punctuation, or refuses. */
  mark(mark: string, why: string): void {
    if (!this.seesMark(mark)) throw broken("syntax", this.peek(), why)
    this.#next += 1
  }

  /** The text between two places. */
  slice(from: number, to: number): string {
    return this.#text.slice(from, to)
  }

  /** MLflow's refusal of what comes next. */
  unexpected(): FilterError {
    const token = this.peek()
    if (token.text === ";") {
      return broken(
        "syntax",
        token,
        `Search filter contained multiple expression '${this.#text.slice(0, 200)}'. Provide AND-ed expression list.`,
      )
    }
    return noClause(token)
  }
}
