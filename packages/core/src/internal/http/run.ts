import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Headers from "effect/http/Headers"
import * as HttpTraceContext from "effect/http/HttpTraceContext"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Option from "effect/Option"
import type { FastifyReply, FastifyRequest } from "fastify"
import { HttpError, toHttpFailure } from "./HttpError.ts"
import type { Kit } from "./Kit.ts"

/** A request as the boundary sees it. */
export interface Served {
  readonly operation: string
  readonly route: string
  readonly status: number
  readonly timeoutMs: number
  /** Whether somebody sees the span. */
  readonly traced: boolean
  readonly request: FastifyRequest
  readonly reply: FastifyReply
}

const parentOf = (request: FastifyRequest) => {
  const traceparent = request.headers["traceparent"]
  return typeof traceparent === "string"
    ? Option.getOrUndefined(HttpTraceContext.w3c(Headers.fromRecordUnsafe({ traceparent })))
    : undefined
}

const statusOf = (served: Served, exit: Exit.Exit<unknown, unknown>): number =>
  Exit.isSuccess(exit) ? served.status : toHttpFailure(Cause.squash(exit.cause), "").status

/** One span a request, under the caller's when it sent `traceparent`. */
const traced = <A, E, R>(effect: Effect.Effect<A, E, R>, served: Served) => {
  const parent = parentOf(served.request)
  // A span costs as much as the rest of a small request: without a tracer it serves only to pass
  // the caller's on.
  if (parent === undefined && !served.traced) return effect
  const options = {
    kind: "server" as const,
    captureStackTrace: false as const,
    attributes: {
      "http.request.method": served.request.method,
      "http.route": served.route,
      "ashlar.operation": served.operation,
      "ashlar.request_id": served.request.id,
    },
    ...(parent === undefined ? {} : { parent }),
  }
  return Effect.useSpan(`${served.request.method} ${served.route}`, options, (span) =>
    Effect.withParentSpan(effect, span).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => span.attribute("http.response.status_code", statusOf(served, exit))),
      ),
    ),
  )
}

/** Runs a request's effect; the client going away, the time limit and a drain interrupt it. */
export const run = <A, E, R>(
  kit: Kit,
  runtime: ManagedRuntime.ManagedRuntime<R, unknown>,
  effect: Effect.Effect<A, E, R>,
  served: Served,
): Promise<Exit.Exit<A, unknown>> =>
  new Promise((resolve) => {
    const { raw } = served.reply
    let why: HttpError | undefined
    const fiber = runtime.runFork(traced(effect, served))
    const stop = (error: HttpError) => {
      why ??= error
      fiber.interruptUnsafe()
    }
    const timer = setTimeout(() => {
      stop(
        new HttpError({
          reason: "Timeout",
          message: `this took longer than the ${served.timeoutMs} ms it may take; ask for less, or ask the operator to raise the limit`,
        }),
      )
    }, served.timeoutMs)
    const onClose = () => {
      if (!raw.writableFinished) {
        stop(new HttpError({ reason: "Cancelled", message: "the client went away" }))
      }
    }
    const drain = () =>
      stop(
        new HttpError({
          reason: "Unavailable",
          message: "the server is shutting down; send the request again",
          retryAfterSeconds: 1,
        }),
      )
    // It may have gone while the caller was being recognised.
    if (raw.destroyed) onClose()
    else raw.once("close", onClose)
    kit.running.add(drain)
    fiber.addObserver((exit) => {
      clearTimeout(timer)
      raw.removeListener("close", onClose)
      kit.running.delete(drain)
      const interrupted = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
      resolve(interrupted && why !== undefined ? Exit.fail(why) : exit)
    })
  })
