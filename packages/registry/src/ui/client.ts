import type {
  ArtifactAnswer,
  ExperimentAnswer,
  GraphAnswer,
  HistoriesAnswer,
  KeysAnswer,
  LiveAnswer,
  ModelAnswer,
  ModelRowAnswer,
  PageOf,
  PreviewAnswer,
  PromotionAnswer,
  RunAnswer,
  RunRowAnswer,
  ValuesAnswer,
  ViewAnswer,
  WireNumber,
} from "../internal/api/answers.ts"

export type * from "../internal/api/answers.ts"

/** The server refused, or was not reached. */
export class ApiError extends Error {
  override readonly name = "ApiError"
  readonly status: number
  /** Where a filter went wrong, counted from 0. */
  readonly position: number | undefined
  readonly field: string | undefined

  constructor(status: number, message: string, field?: string, position?: number) {
    super(message)
    this.status = status
    this.field = field
    this.position = position
  }
}

const tokenKey = "ashlar-token"
const root = document.querySelector<HTMLMetaElement>('meta[name="ashlar-api"]')?.content ?? ""

/** The token of this tab; never written anywhere that outlives it. */
export const session = {
  get token(): string | null {
    return sessionStorage.getItem(tokenKey)
  },
  set token(value: string | null) {
    if (value === null) sessionStorage.removeItem(tokenKey)
    else sessionStorage.setItem(tokenKey, value)
  },
}

/** Dispatched on `window` when a token is wanted. */
export const tokenWanted = "ashlar-token-wanted"

interface Sent {
  readonly method?: "GET" | "POST" | "DELETE"
  readonly body?: unknown
  readonly signal?: AbortSignal | undefined
}

const errorOf = async (answer: Response): Promise<ApiError> => {
  try {
    const { error } = (await answer.json()) as {
      readonly error: {
        readonly message: string
        readonly field?: string
        readonly position?: number
      }
    }
    return new ApiError(answer.status, error.message, error.field, error.position)
  } catch {
    return new ApiError(answer.status, `the server answered ${answer.status}`)
  }
}

const send = async (path: string, { method = "GET", body, signal }: Sent): Promise<Response> => {
  const { token } = session
  const answer = await fetch(`${root}${path}`, {
    method,
    credentials: "omit",
    ...(signal === undefined ? {} : { signal }),
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  if (answer.ok) return answer
  if (answer.status === 401) dispatchEvent(new Event(tokenWanted))
  throw await errorOf(answer)
}

const json = async <A>(path: string, sent: Sent = {}): Promise<A> => {
  const answer = await send(path, sent)
  return (answer.status === 204 ? undefined : await answer.json()) as A
}

const query = (values: Readonly<Record<string, string | undefined>>): string => {
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(values)) if (value !== undefined) search.set(key, value)
  const text = search.toString()
  return text === "" ? "" : `?${text}`
}

const part = encodeURIComponent

/** A number of the API as one of JavaScript. */
export const numberOf = (value: WireNumber): number => Number(value)

/** All pages of a list. */
const every = async <A>(page: (token: string | undefined) => Promise<PageOf<A>>) => {
  const items: Array<A> = []
  let token: string | undefined
  do {
    const answer = await page(token)
    items.push(...answer.items)
    token = answer.next
  } while (token !== undefined && items.length < 20_000)
  return items
}

/** What the pages ask of the server. */
export const api = {
  experiments: (signal?: AbortSignal) =>
    every((token) =>
      json<PageOf<ExperimentAnswer>>(`/experiments${query({ limit: "1000", token })}`, { signal }),
    ),
  keys: (experiments: ReadonlyArray<string>, signal?: AbortSignal) =>
    json<KeysAnswer>("/keys", { method: "POST", body: { experiments }, signal }),
  searchRuns: (
    body: {
      readonly experiments: ReadonlyArray<string>
      readonly filter?: string
      readonly orderBy?: ReadonlyArray<string>
      readonly limit: number
      readonly token?: string
    },
    signal?: AbortSignal,
  ) => json<PageOf<RunRowAnswer>>("/runs/search", { method: "POST", body, signal }),
  values: (
    body: {
      readonly runs: ReadonlyArray<string>
      readonly metrics?: ReadonlyArray<string>
      readonly params?: ReadonlyArray<string>
      readonly tags?: ReadonlyArray<string>
      readonly aggregate?: "last" | "min" | "max"
    },
    signal?: AbortSignal,
  ) => json<ValuesAnswer>("/runs/values", { method: "POST", body, signal }),
  histories: (
    body: {
      readonly runs: ReadonlyArray<string>
      readonly keys: ReadonlyArray<string>
      readonly samples: number
      readonly axis: "step" | "time" | "relative"
      readonly start?: number
      readonly end?: number
    },
    signal?: AbortSignal,
  ) => json<HistoriesAnswer>("/metrics/histories", { method: "POST", body, signal }),
  run: (runId: string, signal?: AbortSignal) => json<RunAnswer>(`/runs/${part(runId)}`, { signal }),
  artifacts: (runId: string, signal?: AbortSignal) =>
    json<PageOf<ArtifactAnswer>>(`/runs/${part(runId)}/artifacts`, { signal }),
  preview: (runId: string, path: string, signal?: AbortSignal) =>
    json<PreviewAnswer>(`/runs/${part(runId)}/artifacts/preview${query({ path })}`, { signal }),
  image: async (runId: string, path: string, signal?: AbortSignal) => {
    const answer = await send(`/runs/${part(runId)}/artifacts/image${query({ path })}`, { signal })
    return createImageBitmap(await answer.blob())
  },
  models: (signal?: AbortSignal) =>
    every((token) =>
      json<PageOf<ModelRowAnswer>>(`/models${query({ limit: "1000", token })}`, { signal }),
    ),
  model: (name: string, signal?: AbortSignal) =>
    json<ModelAnswer>(`/models/${part(name)}`, { signal }),
  promotions: (name: string, signal?: AbortSignal) =>
    json<PageOf<PromotionAnswer>>(`/promotions${query({ name, limit: "50" })}`, { signal }),
  requestPromotion: (body: {
    readonly name: string
    readonly version: number
    readonly alias: string
    readonly reason?: string
  }) => json<PromotionAnswer>("/promotions", { method: "POST", body }),
  vote: (id: string, vote: "approve" | "reject" | "evaluate", comment: string) =>
    json<PromotionAnswer>(`/promotions/${part(id)}/${vote}`, {
      method: "POST",
      ...(vote === "evaluate" ? {} : { body: comment === "" ? {} : { comment } }),
    }),
  lineage: (node: Readonly<Record<string, string>>, signal?: AbortSignal) =>
    json<GraphAnswer>(`/lineage${query(node)}`, { signal }),
  views: (page: string, scope: string, signal?: AbortSignal) =>
    json<PageOf<ViewAnswer>>(`/views${query({ page, scope })}`, { signal }),
  saveView: (body: {
    readonly page: string
    readonly scope: string
    readonly name: string
    readonly state: string
  }) => json<ViewAnswer>("/views", { method: "POST", body }),
  removeView: (id: string) => json<undefined>(`/views/${part(id)}`, { method: "DELETE" }),
  /** Calls back whenever runs change, until the signal aborts; connects again when it was cut. */
  live: async (
    experiments: ReadonlyArray<string>,
    on: { readonly news: (news: LiveAnswer) => void; readonly state: (open: boolean) => void },
    signal: AbortSignal,
  ): Promise<void> => {
    while (!signal.aborted) {
      try {
        const answer = await send("/live", { method: "POST", body: { experiments }, signal })
        on.state(true)
        const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader()
        let text = ""
        for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) {
          const events = `${text}${next.value}`.split("\n\n")
          text = events.pop() ?? ""
          for (const event of events) {
            const data = /^event: runs\ndata: (.*)$/m.exec(event)?.[1]
            if (data !== undefined) on.news(JSON.parse(data) as LiveAnswer)
          }
        }
      } catch {
        // Cut, refused or away: it is tried again below.
      }
      if (signal.aborted) return
      on.state(false)
      await new Promise((resolve) => setTimeout(resolve, 5000))
    }
  },
} as const
