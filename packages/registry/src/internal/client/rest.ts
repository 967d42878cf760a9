/** Requests to a server that speaks MLflow's REST API: retried while it is away or busy. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { RegistryError, invalid } from "../../RegistryError.ts"

/** Where the server is and how patient the client is. */
export interface RemoteOptions {
  /** E.g. `https://mlflow.example`; the paths of the API are added. */
  readonly url: string
  /** Sent as a bearer token. */
  readonly token?: Redacted.Redacted
  /** For one attempt at a request of JSON; default 30000. */
  readonly timeoutMs?: number
  /** For one attempt at a file; default 600000. */
  readonly transferTimeoutMs?: number
  /** Attempts after the first, while the server is away or busy; default 6, with a journal 1. */
  readonly retries?: number
  /** Wait before the first retry, then twice as long each time, at most 30 s; default 200. */
  readonly backoffMs?: number
}

const Problem = Schema.Struct({
  error_code: Schema.optionalKey(Schema.String),
  message: Schema.optionalKey(Schema.String),
})
const decodeProblem = Schema.decodeUnknownOption(Schema.fromJsonString(Problem))

const reasons: Readonly<Record<string, RegistryError["reason"]>> = {
  INVALID_PARAMETER_VALUE: "InvalidInput",
  BAD_REQUEST: "InvalidInput",
  RESOURCE_DOES_NOT_EXIST: "NotFound",
  NOT_FOUND: "NotFound",
  ENDPOINT_NOT_FOUND: "NotFound",
  RESOURCE_ALREADY_EXISTS: "AlreadyExists",
  ALREADY_EXISTS: "AlreadyExists",
  RESOURCE_CONFLICT: "Conflict",
  ABORTED: "Conflict",
  UNAUTHENTICATED: "PermissionDenied",
  CUSTOMER_UNAUTHORIZED: "PermissionDenied",
  PERMISSION_DENIED: "PermissionDenied",
  DATA_LOSS: "Corrupt",
}

const ofStatus = (status: number): RegistryError["reason"] => {
  if (status === 401 || status === 403) return "PermissionDenied"
  if (status === 404) return "NotFound"
  if (status === 409) return "Conflict"
  return status < 500 ? "InvalidInput" : "Unavailable"
}

/** Statuses that another attempt can change. */
const isBusy = (status: number): boolean =>
  status === 408 || status === 429 || (status >= 500 && status !== 501)

interface Attempt {
  readonly error: RegistryError
  readonly again: boolean
  /** What the server asked for. */
  readonly waitMs?: number
}

const refused = async (response: Response, what: string): Promise<Attempt> => {
  const text = (await response.text()).slice(0, 100_000)
  const problem = decodeProblem(text)
  const { error_code = "", message = text.slice(0, 500) } =
    problem._tag === "Some" ? problem.value : {}
  const again = isBusy(response.status)
  const after = Number(response.headers.get("retry-after"))
  return {
    error: new RegistryError({
      reason: again ? "Unavailable" : (reasons[error_code] ?? ofStatus(response.status)),
      message: `${what}: the server answered ${response.status} ${error_code}: ${message}`,
    }),
    again,
    ...(after > 0 ? { waitMs: Math.min(after, 60) * 1000 } : {}),
  }
}

/** A request below the server's URL. */
export interface Request {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  /** Path and query, e.g. `api/2.0/mlflow/runs/get?run_id=..`. */
  readonly path: string
  readonly json?: unknown
  /** What a second attempt would do twice is not tried again here. */
  readonly once?: boolean
  /** Asked for at each attempt: a body is read once. */
  readonly body?: () => Promise<Blob>
}

/** Sends requests and reads their answers. */
export interface Rest {
  /** Runs again what failed because the server was away or busy, as often as the options say. */
  readonly patiently: <A>(
    effect: Effect.Effect<A, RegistryError>,
  ) => Effect.Effect<A, RegistryError>
  readonly json: <S extends Schema.ConstraintDecoder<unknown>>(
    request: Request,
    answer: S,
  ) => Effect.Effect<S["Type"], RegistryError>
  readonly transfer: <A>(
    request: Request,
    read: (response: Response) => Promise<A>,
  ) => Effect.Effect<A, RegistryError>
}

/** Checks the options and makes the sender. */
export const make = Effect.fnUntraced(function* (
  options: RemoteOptions,
): Effect.fn.Return<Rest, RegistryError> {
  const base = URL.parse(options.url.endsWith("/") ? options.url : `${options.url}/`)
  if (
    base === null ||
    !/^https?:$/.test(base.protocol) ||
    base.username !== "" ||
    base.password !== ""
  ) {
    return yield* invalid(
      "url",
      "url is the server's address, such as https://mlflow.example, without a user or password: give the token as 'token'",
    )
  }
  const { token, timeoutMs = 30_000, transferTimeoutMs = 600_000 } = options
  const { retries = 6, backoffMs = 200 } = options
  const authorization: Record<string, string> =
    token === undefined ? {} : { authorization: `Bearer ${Redacted.value(token)}` }

  const once = <A>(
    { method, path, json, body }: Request,
    timeout: number,
    read: (response: Response) => Promise<A>,
  ): Effect.Effect<A, Attempt> => {
    const what = `${method} ${base.host}/${path.split("?", 1)[0]}`
    return Effect.tryPromise({
      try: async (signal): Promise<{ value: A } | Attempt> => {
        const payload = json === undefined ? await body?.() : JSON.stringify(json)
        const response = await fetch(new URL(path, base), {
          method,
          redirect: "error",
          headers: {
            ...authorization,
            ...(json === undefined ? {} : { "content-type": "application/json" }),
          },
          ...(payload === undefined ? {} : { body: payload }),
          signal: AbortSignal.any([signal, AbortSignal.timeout(timeout)]),
        })
        return response.ok ? { value: await read(response) } : refused(response, what)
      },
      catch: (cause): Attempt => {
        if (cause instanceof RegistryError) {
          return { error: cause, again: cause.reason === "Unavailable" }
        }
        const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause
        const why = inner instanceof Error ? inner.message : String(inner)
        return {
          error: new RegistryError({
            reason: "Unavailable",
            message: `${what}: no answer (${why}): check that the server runs and can be reached`,
            cause,
          }),
          again: true,
        }
      },
    }).pipe(
      Effect.flatMap((answer) =>
        "value" in answer ? Effect.succeed(answer.value) : Effect.fail(answer),
      ),
    )
  }

  const transfer =
    (timeout: number) =>
    <A>(
      request: Request,
      read: (response: Response) => Promise<A>,
    ): Effect.Effect<A, RegistryError> => {
      const attempt = (left: number, wait: number): Effect.Effect<A, RegistryError> =>
        Effect.catch(once(request, timeout, read), ({ error, again, waitMs }: Attempt) =>
          again && left > 0
            ? Effect.flatMap(
                // Jitter keeps many clients from coming back together.
                Effect.sleep(Duration.millis(waitMs ?? wait * (0.5 + Math.random()))),
                () => attempt(left - 1, Math.min(wait * 2, 30_000)),
              )
            : Effect.fail(error),
        )
      return attempt(request.once === true ? 0 : retries, backoffMs)
    }

  const patiently = <A>(
    effect: Effect.Effect<A, RegistryError>,
  ): Effect.Effect<A, RegistryError> => {
    const attempt = (left: number, wait: number): Effect.Effect<A, RegistryError> =>
      Effect.catch(effect, (error: RegistryError) =>
        left > 0 && error.reason === "Unavailable"
          ? Effect.flatMap(Effect.sleep(Duration.millis(wait * (0.5 + Math.random()))), () =>
              attempt(left - 1, Math.min(wait * 2, 30_000)),
            )
          : Effect.fail(error),
      )
    return attempt(retries, backoffMs)
  }

  const json = transfer(timeoutMs)
  return {
    patiently,
    transfer: transfer(transferTimeoutMs),
    json: (request, answer) => {
      const decode = Schema.decodeUnknownEffect(answer)
      return Effect.flatMap(
        json(request, async (response): Promise<unknown> => response.json()),
        (body) =>
          Effect.mapError(
            decode(body),
            (cause) =>
              new RegistryError({
                reason: "Unavailable",
                message: `${request.method} ${base.host}/${request.path.split("?", 1)[0]}: the answer is not MLflow's: ${cause.message.slice(0, 500)}`,
                cause,
              }),
          ),
      )
    },
  }
})
