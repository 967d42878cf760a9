import type { Database } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"

/** A key and a value, as tags and parameters have them. */
export interface Pair {
  readonly key: string
  readonly value: string
}

/** An experiment of an answer. */
export interface ExperimentJson {
  readonly experiment_id: string
  readonly name: string
  readonly creation_time: number
  readonly last_update_time: number
  readonly lifecycle_stage: string
  readonly tags?: ReadonlyArray<Pair>
}

/** A run of an answer. */
export interface RunJson {
  readonly info: {
    readonly run_id: string
    readonly run_name: string
    readonly lifecycle_stage: string
    readonly artifact_uri: string
  }
  readonly data: { readonly tags?: ReadonlyArray<Pair>; readonly params?: ReadonlyArray<Pair> }
  readonly inputs: object
  readonly outputs: object
}

/** A logged model of an answer. */
export interface ModelJson {
  readonly info: {
    readonly model_id: string
    readonly name: string
    readonly artifact_uri: string
    readonly creation_timestamp_ms: number
    readonly status: string
    readonly model_type?: string
    readonly tags?: ReadonlyArray<Pair>
  }
  readonly data: { readonly params?: ReadonlyArray<Pair>; readonly metrics?: ReadonlyArray<object> }
}

/** What the answers read here may hold. */
export interface Body {
  readonly text: string
  readonly error_code: string
  readonly message: string
  readonly next_page_token?: string
  readonly experiment_id: string
  readonly experiment: ExperimentJson
  readonly experiments?: ReadonlyArray<ExperimentJson>
  readonly run: RunJson
  readonly runs?: ReadonlyArray<RunJson>
  readonly model: ModelJson
  readonly models?: ReadonlyArray<ModelJson>
}

/** An answer. */
export interface Answer {
  readonly status: number
  readonly body: Body
  readonly headers: Headers
}

/** A server that speaks MLflow's API on a database, and calls of it. */
export const openMlflow = async <E>(options: {
  readonly database: Layer.Layer<Database.Database, E>
  readonly blobs: string
  readonly auth?: HttpKit.AuthOption
  readonly plugin?: Omit<Mlflow.PluginOptions, "runtime">
}) => {
  const runtime = ManagedRuntime.make(
    Mlflow.services.pipe(
      Layer.provideMerge(Layer.mergeAll(options.database, Fs.layer({ directory: options.blobs }))),
    ),
  )
  const server = await HttpKit.makeServer({
    auth: options.auth ?? "off-on-loopback",
    register: (app) => app.register(Mlflow.plugin, { ...options.plugin, runtime }),
    drain: { onSignals: false },
  })
  const raw = async (
    method: string,
    path: string,
    init: { readonly body?: string; readonly headers?: Readonly<Record<string, string>> } = {},
  ): Promise<Answer> => {
    const answer = await fetch(`${server.url}${path}`, { method, ...init })
    const text = await answer.text()
    const isJson = (answer.headers.get("content-type") ?? "").startsWith("application/json")
    return {
      status: answer.status,
      body: (isJson && text !== "" ? JSON.parse(text) : { text }) as Body,
      headers: answer.headers,
    }
  }
  const send = (method: string) => (path: string, body: unknown) =>
    raw(method, `/api/2.0/mlflow/${path}`, {
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    })
  return {
    runtime,
    url: server.url,
    raw,
    get: (path: string) => raw("GET", `/api/2.0/mlflow/${path}`),
    post: send("POST"),
    patch: send("PATCH"),
    del: send("DELETE"),
    [Symbol.asyncDispose]: async () => {
      await server.drain()
      await runtime.dispose()
    },
  }
}

/** A running server and its calls. */
export type Api = Awaited<ReturnType<typeof openMlflow>>
