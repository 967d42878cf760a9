/**
 * What the server serves, and where.
 *
 * @module
 */
import * as FeatureStoreHttp from "@ashlar/feature-store/fastify"
import * as MonitoringHttp from "@ashlar/monitoring/fastify"
import * as OrchestratorHttp from "@ashlar/orchestrator/fastify"
import * as RegistryHttp from "@ashlar/registry/fastify"
import * as ServingHttp from "@ashlar/serving/fastify"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import type { FastifyInstance } from "fastify"
import type { Environment } from "./environment.ts"

/** A module behind the server. */
export interface Mounted {
  readonly name: string
  /** What it does and which protocol it speaks. */
  readonly about: string
  /** Routes worth a look, the ones a browser can open as links. */
  readonly routes: ReadonlyArray<{ readonly path: string; readonly open: boolean }>
  readonly register: (
    app: FastifyInstance,
    runtime: ManagedRuntime.ManagedRuntime<Environment, unknown>,
  ) => unknown
}

/** Every module, in the order of the page. */
export const modules: ReadonlyArray<Mounted> = [
  {
    name: "Registry",
    about: "experiments, runs, metrics and models, over MLflow's REST API 2.0",
    routes: [
      { path: "/ui/", open: true },
      { path: "/api/2.0/mlflow/experiments/search?max_results=100", open: true },
      { path: "/api/2.0/mlflow/registered-models/search?max_results=100", open: true },
      { path: "/api/2.0/mlflow/runs/create", open: false },
      { path: "/api/2.0/mlflow/runs/log-metric", open: false },
    ],
    // The feature store's clients ask the same path.
    register: (app, runtime) => app.register(RegistryHttp.plugin, { runtime, health: false }),
  },
  {
    name: "Serving",
    about: "predictions from registered models, over the Open Inference Protocol V2",
    routes: [
      { path: "/v2", open: true },
      { path: "/v2/models/stats", open: true },
      { path: "/v2/models/{model}", open: false },
      { path: "/v2/models/{model}/infer", open: false },
      { path: "/v2/repository/index", open: false },
    ],
    register: (app, runtime) => app.register(ServingHttp.plugin, { runtime }),
  },
  {
    name: "Feature store",
    about: "feature vectors for entity keys, over the protocol of Feast's feature server",
    routes: [
      { path: "/get-online-features", open: false },
      { path: "/push", open: false },
      { path: "/materialize", open: false },
      { path: "/health", open: true },
    ],
    register: (app, runtime) => app.register(FeatureStoreHttp.plugin, { runtime }),
  },
  {
    name: "Monitoring",
    about: "predictions and labels in; performance, drift, misses and explanations out",
    routes: [
      { path: "/monitoring/v1/models", open: true },
      { path: "/monitoring/v1/predictions", open: false },
      { path: "/monitoring/v1/labels", open: false },
      { path: "/monitoring/v1/models/{model}/performance", open: false },
      { path: "/monitoring/v1/models/{model}/drift", open: false },
    ],
    // Below a prefix: /v1/models means a server of models to TensorFlow Serving's and KServe's clients.
    register: (app, runtime) =>
      app.register(MonitoringHttp.plugin, { runtime, models: runtime, prefix: "/monitoring" }),
  },
  {
    name: "Orchestrator",
    about: "durable runs: list them, look into them, cancel them, fire triggers",
    routes: [
      { path: "/orchestrator/v1/runs", open: true },
      { path: "/orchestrator/v1/triggers", open: false },
    ],
    register: (app, runtime) =>
      app.register(OrchestratorHttp.plugin, { runtime, prefix: "/orchestrator" }),
  },
]
