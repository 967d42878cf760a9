import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { FastifyInstance } from "fastify"
import type { Explorer, RunActivity } from "../../Explorer.ts"
import type { LiveAnswer } from "./answers.ts"
import { common, explorer, list, Id, root, type Runtime } from "./route.ts"

/** Streams at once; each costs a query every {@link everyMs}. */
const maxStreams = 64
/** How often the store is asked. */
const everyMs = 2000
/** How often a silent stream shows that it is there, so that proxies keep it open. */
const heartbeatMs = 15_000

const marks = (runs: ReadonlyArray<RunActivity>): ReadonlyMap<string, string> =>
  new Map(
    runs.map(({ runId, status, segment, counts }) => [runId, `${status} ${segment} ${counts}`]),
  )

/** What differs; nothing when there was nothing to compare with. */
const differences = (
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): LiveAnswer => {
  const changed: Array<string> = []
  const added: Array<string> = []
  for (const [runId, mark] of after) {
    const known = before.get(runId)
    if (known === undefined) added.push(runId)
    else if (known !== mark) changed.push(runId)
  }
  return { changed, added }
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener("abort", done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener("abort", done)
    if (signal.aborted) done()
  })

const encoder = new TextEncoder()

/** Server-sent events of what changes, until the client goes away or the server closes. */
async function* events(
  service: Explorer["Service"],
  experiments: ReadonlyArray<string>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const read = () => Effect.runPromise(Effect.map(service.activity(experiments), marks))
  let known = await read()
  let spoken = Date.now()
  yield encoder.encode("retry: 5000\nevent: ready\ndata: {}\n\n")
  while (!signal.aborted) {
    await pause(everyMs, signal)
    if (signal.aborted) return
    // A store that cannot be read for a moment is asked again.
    const next = await read().catch(() => known)
    const news = differences(known, next)
    known = next
    if (news.changed.length > 0 || news.added.length > 0) {
      spoken = Date.now()
      yield encoder.encode(`event: runs\ndata: ${JSON.stringify(news)}\n\n`)
    } else if (Date.now() - spoken >= heartbeatMs) {
      spoken = Date.now()
      yield encoder.encode(": still here\n\n")
    }
  }
}

/** Registers the stream of changes. */
export const register = (app: FastifyInstance, runtime: Runtime): void => {
  const open = new Set<AbortController>()
  // Streams never end by themselves: they would hold up the drain.
  app.addHook("preClose", async () => {
    for (const controller of open) controller.abort()
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "POST",
    url: `${root}/live`,
    operation: "registryLive",
    summary: "Server-sent events of runs that are added, go on or end",
    access: { verb: "read" },
    body: Schema.Struct({ experiments: list(Id, 1000) }),
    handler: ({ body, request }) =>
      Effect.gen(function* () {
        if (open.size >= maxStreams) {
          return yield* new HttpKit.HttpError({
            reason: "RateLimited",
            message: `${maxStreams} streams are open already; ask again later, or poll`,
            retryAfterSeconds: 30,
          })
        }
        const service = yield* explorer
        const controller = new AbortController()
        open.add(controller)
        const stop = () => {
          controller.abort()
          open.delete(controller)
        }
        request.raw.socket.once("close", stop)
        const source = async function* () {
          try {
            yield* events(service, body.experiments, controller.signal)
          } finally {
            stop()
            request.raw.socket.removeListener("close", stop)
          }
        }
        return HttpKit.reply(
          Stream.fromAsyncIterable(source(), (error) => error),
          {
            headers: {
              "content-type": "text/event-stream; charset=utf-8",
              "cache-control": "no-store",
              "x-accel-buffering": "no",
            },
          },
        )
      }),
  })
}
