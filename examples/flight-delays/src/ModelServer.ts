import { Auth } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"
import { Monitoring } from "@ashlar/monitoring"
import { Serving } from "@ashlar/serving"
import * as Oip from "@ashlar/serving/fastify"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"

/** The HTTP server that scores flights, and the token to call it with. */
export class ModelServer extends Context.Service<
  ModelServer,
  { readonly url: string; readonly token: Redacted.Redacted<string> }
>()("example/ModelServer") {}

/** Serves the Open Inference Protocol on loopback; callers need a token. */
export const layer = (
  port: number,
): Layer.Layer<
  ModelServer,
  Auth.AuthError | Error,
  Serving.Serving | Auth.Auth | Monitoring.Monitoring
> =>
  Layer.effect(
    ModelServer,
    Effect.gen(function* () {
      const auth = yield* Auth.Auth
      const context = yield* Effect.context<Serving.Serving>()
      const runtime = ManagedRuntime.make(Layer.succeedContext(context))
      const { token } = yield* auth.createToken({
        principal: "flight-delays",
        scopes: [{ project: "*", verb: "read" }],
      })
      const server = yield* Effect.acquireRelease(
        Effect.tryPromise({
          try: () =>
            HttpKit.makeServer({
              auth,
              port,
              // The example ends its own way on signals, and drains the server as part of it.
              drain: { onSignals: false },
              register: (app) => app.register(Oip.plugin, { runtime }),
            }),
          catch: (cause) => (cause instanceof Error ? cause : new Error(String(cause))),
        }),
        (started) => Effect.promise(() => started.drain()),
      )
      return { url: server.url, token }
    }),
  )
