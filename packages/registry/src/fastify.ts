/**
 * Fastify plugin that speaks a part of MLflow's REST API 2.0, exactly: MLflow's own clients track
 * runs, read metrics and find models with it. Register it below core's HTTP kit.
 *
 * @module
 */
import * as Env from "@ashlar/core/env"
import type { BlobStore, Database, Secrets } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { FastifyInstance } from "fastify"
import * as Actor from "./Actor.ts"
import * as Explorer from "./Explorer.ts"
import * as Lineage from "./Lineage.ts"
import * as LineageGraph from "./LineageGraph.ts"
import * as Gc from "./internal/api/gc.ts"
import * as Pages from "./internal/api/pages.ts"
import * as Promotion from "./internal/api/promotion.ts"
import * as Api from "./internal/api/register.ts"
import * as ExperimentsService from "./Experiments.ts"
import type { Call, Endpoint, Services } from "./internal/mlflow/endpoint.ts"
import { formatError } from "./internal/mlflow/errors.ts"
import * as ArtifactLinks from "./internal/mlflow/artifact-links.ts"
import * as ArtifactRoutes from "./internal/mlflow/artifact-routes.ts"
import * as Artifacts from "./internal/mlflow/artifacts.ts"
import * as Datasets from "./internal/mlflow/datasets.ts"
import * as Experiments from "./internal/mlflow/experiments.ts"
import * as LoggedModels from "./internal/mlflow/logged-models.ts"
import * as Models from "./internal/mlflow/models.ts"
import * as ModelVersions from "./internal/mlflow/model-versions.ts"
import * as RunInputs from "./internal/mlflow/run-inputs.ts"
import * as Runs from "./internal/mlflow/runs.ts"
import * as RunsLog from "./internal/mlflow/runs-log.ts"
import * as RunsSearch from "./internal/mlflow/runs-search.ts"
import * as Server from "./internal/mlflow/server.ts"
import * as Otlp from "./internal/mlflow/otlp.ts"
import * as Traces from "./internal/mlflow/traces.ts"
import * as Webhooks from "./internal/mlflow/webhooks.ts"
import { parametersOf } from "./internal/mlflow/transport.ts"
import * as ArtifactsService from "./Artifacts.ts"
import * as LoggedModelsService from "./LoggedModels.ts"
import * as ModelsService from "./Models.ts"
import type { RegistryError } from "./RegistryError.ts"
import * as RunsService from "./Runs.ts"
import * as TracesService from "./Traces.ts"
import * as WebhooksService from "./Webhooks.ts"

/** What the plugin needs. */
export interface PluginOptions {
  /** Has the services of {@link services}. */
  readonly runtime: ManagedRuntime.ManagedRuntime<Services, unknown>
  /** Cuts values of params and tags that are too long, as MLflow does; default true. Else 400. */
  readonly truncateLongValues?: boolean
  /**
   * Where clients reach this server, e.g. `https://models.example.org`, for URLs that it signs;
   * default what each request names as its host.
   */
  readonly publicUrl?: string
  /** False leaves `/health` to another plugin of the same server; default true. */
  readonly health?: boolean
  /** Where the pages lie, or false for none; default `/ui`. */
  readonly pages?: string | false
}

const endpoints: ReadonlyArray<Endpoint> = [
  ...Experiments.endpoints,
  ...Datasets.endpoints,
  ...Runs.endpoints,
  ...RunInputs.endpoints,
  ...RunsLog.endpoints,
  ...RunsSearch.endpoints,
  ...Artifacts.endpoints,
  ...LoggedModels.endpoints,
  ...Models.endpoints,
  ...ModelVersions.endpoints,
  ...Traces.endpoints,
  ...Webhooks.endpoints,
  ...Server.endpoints,
]

/** How the services are set up. */
export interface ServicesOptions {
  /** Where webhooks may lead, and how often they are tried. */
  readonly webhooks?: WebhooksService.WebhooksOptions
  /** Has the secret `registry-webhooks`, which encrypts the webhooks' secrets; default `Env.layer()`. */
  readonly secrets?: Layer.Layer<Secrets.Secrets>
}

/** Every service that the plugin needs. It takes a `Database` and a `BlobStore`. */
export const servicesWith = ({
  webhooks,
  secrets = Env.layer(),
}: ServicesOptions = {}): Layer.Layer<
  Services | Explorer.Explorer | Lineage.Lineage | LineageGraph.LineageGraph,
  RegistryError,
  Database.Database | BlobStore.BlobStore
> =>
  Layer.mergeAll(
    ArtifactsService.layer,
    RunsService.layer,
    TracesService.layer,
    ExperimentsService.layer,
    LoggedModelsService.layer,
    ModelsService.layer,
    Explorer.layer,
    Lineage.layer,
    LineageGraph.layer,
    Layer.provide(WebhooksService.layer(webhooks), secrets),
  )

/**
 * {@link servicesWith} its defaults: webhooks reach public addresses, and the key of their secrets is
 * `ASHLAR_SECRET_REGISTRY_WEBHOOKS`.
 */
export const services = servicesWith()

/** Where MLflow's clients look for the API. */
const roots = ["/api", "/ajax-api"] as const

/** Old clients of the model registry and of experiments say `preview`. */
const stems = { "2.0": ["2.0/mlflow", "2.0/preview/mlflow"], "3.0": ["3.0/mlflow"] } as const

const nameOf = (root: string, method: string, path: string): string =>
  `mlflow${root === "/api" ? "" : "Ajax"}${method}${path.replaceAll(/[/:*_.-]+(\w?)/g, (_, letter: string) => letter.toUpperCase())}`

const openAt = (url: string, operation: string, body: string) => ({
  method: "GET" as const,
  url,
  operation,
  tag: "mlflow",
  access: "public" as const,
  handler: () =>
    Effect.succeed(
      HttpKit.reply(body, { headers: { "content-type": "text/plain; charset=utf-8" } }),
    ),
})

/**
 * Registers the API at `/api/2.0/mlflow/...` and `/ajax-api/2.0/mlflow/...`, also below
 * `2.0/preview`, and `/health` and `/version`. What is not there answers 404 `ENDPOINT_NOT_FOUND`, by
 * which the clients know what they cannot use.
 */
export const plugin = async (app: FastifyInstance, options: PluginOptions): Promise<void> => {
  const { runtime } = options
  const originOf: ArtifactRoutes.OriginOf = ({ protocol, host }) =>
    `${options.publicUrl?.replace(/\/+$/, "") ?? `${protocol}://${host}`}${app.prefix}`
  ArtifactRoutes.register(app, runtime, originOf)
  ArtifactLinks.register(app, runtime, originOf)
  Gc.register(app, runtime)
  Otlp.register(app, runtime)
  Promotion.register(app, runtime)
  Api.register(app, runtime)
  if (options.pages !== false) Pages.register(app, runtime, options.pages ?? "/ui")
  const call: Call = { truncateLongValues: options.truncateLongValues ?? true }
  if (options.health !== false) HttpKit.route(app, runtime, openAt("/health", "mlflowHealth", "OK"))
  HttpKit.route(app, runtime, openAt("/version", "mlflowVersion", Server.version))
  const add = (root: (typeof roots)[number], stem: string, found: Endpoint): void => {
    for (const method of found.methods) {
      HttpKit.route(app, runtime, {
        method,
        url: `${root}/${stem}${found.path}`,
        operation: nameOf(
          root,
          method,
          `${stem.includes("preview") ? "/preview" : ""}${found.operation ?? found.path}`,
        ),
        tag: "mlflow",
        access: { verb: found.verb },
        formatError,
        query: Schema.Unknown,
        body: Schema.Unknown,
        handler: ({ query, body, principal, request }) =>
          Effect.flatMap(parametersOf(request, method === "GET" ? query : body), (raw) =>
            Actor.as(principal)(found.run(raw, call)),
          ),
      })
    }
  }
  for (const root of roots) {
    for (const found of endpoints) {
      for (const stem of stems[found.version ?? "2.0"]) add(root, stem, found)
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
