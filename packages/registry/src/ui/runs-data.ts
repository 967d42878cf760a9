import { useCallback, useEffect, useReducer, useRef, useState } from "preact/hooks"
import { api, type ApiError, type RunRowAnswer } from "./client.ts"

/** Runs of one request. */
const pageSize = 500
/** Runs that are read without asking. */
const readAhead = 2000

/** Runs as far as they are read. */
export interface RunsData {
  readonly runs: ReadonlyArray<RunRowAnswer>
  readonly more: boolean
  readonly loading: boolean
  readonly error: ApiError | Error | undefined
  /** Reads on, past what is read without asking. */
  readonly loadMore: () => void
  /** Reads everything again, without showing less meanwhile. */
  readonly reload: () => void
}

interface State {
  readonly runs: ReadonlyArray<RunRowAnswer>
  readonly next: string | undefined
  readonly loading: boolean
  readonly error: Error | undefined
}

const nothing: State = { runs: [], next: undefined, loading: true, error: undefined }

/** Runs of experiments by filter and order. */
export const useRuns = (
  experiments: ReadonlyArray<string>,
  filter: string,
  orderBy: string | undefined,
): RunsData => {
  const [state, set] = useState(nothing)
  const [wanted, setWanted] = useState(readAhead)
  const [revision, again] = useReducer<number, undefined>((n) => n + 1, 0)
  const key = JSON.stringify([experiments, filter, orderBy])
  const shownKey = useRef(key)
  useEffect(() => {
    if (experiments.length === 0) {
      set({ ...nothing, loading: false })
      return undefined
    }
    const controller = new AbortController()
    const { signal } = controller
    const isSame = shownKey.current === key
    shownKey.current = key
    set((before) => ({ ...before, loading: true }))
    const read = async () => {
      const runs: Array<RunRowAnswer> = []
      let token: string | undefined
      do {
        const page = await api.searchRuns(
          {
            experiments,
            limit: pageSize,
            ...(filter === "" ? {} : { filter }),
            ...(orderBy === undefined ? {} : { orderBy: [orderBy] }),
            ...(token === undefined ? {} : { token }),
          },
          signal,
        )
        runs.push(...page.items)
        token = page.next
        const done = token === undefined || runs.length >= wanted
        // A reload shows the old rows until it has as many.
        if (done || !isSame) {
          set({ runs: [...runs], next: token, loading: !done, error: undefined })
        }
      } while (token !== undefined && runs.length < wanted)
    }
    read().catch((error: unknown) => {
      if (signal.aborted) return
      const shown = error instanceof Error ? error : new Error(String(error))
      set((before) => ({ ...before, loading: false, error: shown }))
    })
    return () => controller.abort()
  }, [key, wanted, revision])
  return {
    runs: state.runs,
    more: state.next !== undefined,
    loading: state.loading,
    error: state.error,
    loadMore: useCallback(() => setWanted((count) => count + readAhead), []),
    reload: useCallback(() => again(undefined), []),
  }
}
