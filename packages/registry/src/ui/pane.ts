import type { KeysAnswer, RunRowAnswer } from "./client.ts"
import type { ValueCache } from "./values.ts"

/** What every way of showing runs is given. */
export interface PaneProps {
  /** The chosen runs; all when none is chosen. */
  readonly runs: ReadonlyArray<RunRowAnswer>
  readonly isChosen: boolean
  readonly keys: KeysAnswer
  readonly values: { readonly cache: ValueCache; readonly tick: number }
  readonly params: URLSearchParams
  readonly theme: string
  /** Grows when runs change. */
  readonly revision: number
}
