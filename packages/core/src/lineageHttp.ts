/**
 * Lineage over HTTP: posts OpenLineage events to `/api/v1/lineage` of any server that takes them.
 *
 * @module
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { LineageSink, LineageSinkError } from "./LineageSink.ts"
import { RunEvent } from "./OpenLineage.ts"

/** Where events go. */
export interface LineageHttpOptions {
  /** Server, e.g. `https://lineage.example`; `/api/v1/lineage` is added. */
  readonly url: string
  /** Sent as a bearer token. */
  readonly token?: Redacted.Redacted
  /** For one attempt; default 5000. */
  readonly timeoutMs?: number
  /** Attempts after the first when the server is not there or busy; default 3. */
  readonly retries?: number
}

const failure = (
  reason: LineageSinkError["reason"],
  message: string,
  cause?: unknown,
): LineageSinkError =>
  new LineageSinkError({ reason, message, ...(cause === undefined ? {} : { cause }) })

const encode = Schema.encodeEffect(Schema.fromJsonString(RunEvent))

const endpointOf = (url: string): Effect.Effect<URL, LineageSinkError> => {
  const parsed = URL.parse(url.endsWith("/") ? url : `${url}/`)
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
    return Effect.fail(
      failure("InvalidInput", "the lineage URL must start with http:// or https://"),
    )
  }
  return Effect.succeed(new URL("api/v1/lineage", parsed))
}

/** A sink that posts every event and waits for the answer. */
export const make = Effect.fnUntraced(function* (
  options: LineageHttpOptions,
): Effect.fn.Return<LineageSink["Service"], LineageSinkError> {
  const endpoint = yield* endpointOf(options.url)
  const timeout = options.timeoutMs ?? 5000
  const headers = {
    "content-type": "application/json",
    ...(options.token === undefined
      ? {}
      : { authorization: `Bearer ${Redacted.value(options.token)}` }),
  }
  const post = (body: string) =>
    Effect.tryPromise({
      try: async (signal) => {
        const response = await fetch(endpoint, {
          method: "POST",
          headers,
          body,
          redirect: "error",
          signal: AbortSignal.any([signal, AbortSignal.timeout(timeout)]),
        })
        const text = await response.text()
        return { status: response.status, text: text.slice(0, 500) }
      },
      catch: (cause) =>
        failure(
          "Unavailable",
          `${endpoint.host} did not take the lineage event (${String(cause)}); check that it runs`,
          cause,
        ),
    }).pipe(
      Effect.flatMap(({ status, text }) => {
        if (status < 300) return Effect.void
        const busy = status >= 500 || status === 429 || status === 408
        return Effect.fail(
          failure(
            busy ? "Unavailable" : "InvalidInput",
            `${endpoint.host} answered ${status} to a lineage event: ${text}`,
          ),
        )
      }),
    )
  const retry = {
    times: options.retries ?? 3,
    while: (error: LineageSinkError) => error.reason === "Unavailable",
    schedule: Schedule.jittered(Schedule.exponential("100 millis")),
  }
  return LineageSink.of({
    emit: (event) =>
      encode(event).pipe(
        Effect.mapError((cause) =>
          failure("InvalidInput", `the lineage event is malformed: ${cause.message}`, cause),
        ),
        Effect.flatMap((body) => Effect.retry(post(body), retry)),
      ),
  })
})

/** The sink as a layer. */
export const layer = (options: LineageHttpOptions): Layer.Layer<LineageSink, LineageSinkError> =>
  Layer.effect(LineageSink, make(options))

/** The sink from configuration. */
export const layerConfig = (
  options: Config.Wrap<LineageHttpOptions>,
): Layer.Layer<LineageSink, LineageSinkError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
