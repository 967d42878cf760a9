/**
 * The modules, wired through the ports of core; no module knows another.
 *
 * @module
 */
import * as Tokens from "@ashlar/core/tokens"
import { FeatureStore } from "@ashlar/feature-store"
import * as OnlineDatabase from "@ashlar/feature-store/database"
import { Gate, Monitoring } from "@ashlar/monitoring"
import { Orchestrator } from "@ashlar/orchestrator"
import { Lineage, ModelPorts } from "@ashlar/registry"
import * as RegistryHttp from "@ashlar/registry/fastify"
import { Serving } from "@ashlar/serving"
import * as Layer from "effect/Layer"
import { join } from "node:path"
import { blobLayer, databaseLayer } from "./backends.ts"
import type { PlatformSettings } from "./PlatformSettings.ts"
import * as Observability from "./observability.ts"

/** Every service that a route needs. */
export const layer = (settings: PlatformSettings) => {
  const backends = Layer.mergeAll(databaseLayer(settings.database), blobLayer(settings.blobs))
  const records = Layer.mergeAll(
    RegistryHttp.services,
    Lineage.layer,
    Monitoring.layer(),
    Tokens.layer(settings.tokens),
    FeatureStore.layer().pipe(Layer.provide(OnlineDatabase.layer)),
  )
  const ports = Layer.mergeAll(
    ModelPorts.sourceLayer({ cache: join(settings.directory, "cache") }),
    Lineage.sinkLayer,
  )
  const gate = Gate.layer().pipe(Layer.provide(Serving.predictorLayer))
  return gate.pipe(
    Layer.provideMerge(Layer.mergeAll(Serving.layer(), Orchestrator.layer())),
    Layer.provideMerge(ports),
    Layer.provideMerge(records),
    Layer.provideMerge(backends),
    Layer.provideMerge(Observability.layer(settings)),
  )
}

/** What {@link layer} gives. */
export type Environment = Layer.Success<ReturnType<typeof layer>>
