/**
 * Fastify plugin that speaks a part of MLflow's REST API 2.0, exactly: MLflow's own clients track
 * runs, read metrics and find models with it. Register it below core's HTTP kit.
 *
 * @module
 */
import * as HttpKit from "@ashlar/core/fastify"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { FastifyInstance } from "fastify"
import * as Actor from "./Actor.ts"
import * as Pages from "./internal/api/pages.ts"
import * as Promotion from "./internal/api/promotion.ts"
import * as Api from "./internal/api/register.ts"
import type { Endpoint, Services } from "./internal/mlflow/endpoint.ts"
import { formatError } from "./internal/mlflow/errors.ts"
import * as Artifacts from "./internal/mlflow/artifacts.ts"
import * as Experiments from "./internal/mlflow/experiments.ts"
import * as Models from "./internal/mlflow/models.ts"
import * as Runs from "./internal/mlflow/runs.ts"
import * as RunsLog from "./internal/mlflow/runs-log.ts"
import * as RunsSearch from "./internal/mlflow/runs-search.ts"

/** What the plugin needs. */
export interface PluginOptions {
  /** Has the services `Runs`, `Experiments` and `Models`. */
  readonly runtime: ManagedRuntime.ManagedRuntime<Services, unknown>
  /** Where the pages lie, or false for none; default `/ui`. They need the service `Explorer`. */
  readonly pages?: string | false
}

const endpoints: ReadonlyArray<Endpoint> = [
  ...Experiments.endpoints,
  ...Runs.endpoints,
  ...RunsLog.endpoints,
  ...RunsSearch.endpoints,
  ...Artifacts.endpoints,
  ...Models.endpoints,
]

/** Where MLflow's clients look for the API. */
const roots = ["/api", "/ajax-api"] as const

const nameOf = (root: string, method: string, path: string): string =>
  `mlflow${root === "/api" ? "" : "Ajax"}${method}${path.replaceAll(/[/-]+(\w)/g, (_, letter: string) => letter.toUpperCase())}`

/**
 * Registers the API at `/api/2.0/mlflow/...` and `/ajax-api/2.0/mlflow/...`. What is not there
 * answers 404 `ENDPOINT_NOT_FOUND`, by which the clients know what they cannot use.
 */
export const plugin = async (app: FastifyInstance, options: PluginOptions): Promise<void> => {
  const { runtime } = options
  Promotion.register(app, runtime)
  Api.register(app, runtime)
  if (options.pages !== false) Pages.register(app, runtime, options.pages ?? "/ui")
  for (const root of roots) {
    for (const { methods, path, verb, run } of endpoints) {
      for (const method of methods) {
        HttpKit.route(app, runtime, {
          method,
          url: `${root}/2.0/mlflow${path}`,
          operation: nameOf(root, method, path),
          tag: "mlflow",
          access: { verb },
          formatError,
          query: Schema.Unknown,
          body: Schema.Unknown,
          handler: ({ query, body, principal }) =>
            Actor.as(principal)(run(method === "GET" ? query : body)),
        })
      }
    }
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"] as const) {
      HttpKit.route(app, runtime, {
        method,
        url: `${root}/*`,
        operation: nameOf(root, method, "/missing"),
        access: { verb: "read" },
        formatError,
        handler: ({ request }) =>
          Effect.succeed(
            HttpKit.reply(
              {
                error_code: "ENDPOINT_NOT_FOUND",
                message: `this server has no ${method} ${request.url.split("?", 1)[0]}: /openapi.json lists what there is`,
              },
              { status: 404 },
            ),
          ),
      })
    }
  }
}
