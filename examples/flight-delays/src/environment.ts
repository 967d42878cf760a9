import * as Fs from "@ashlar/core/fs"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Tokens from "@ashlar/core/tokens"
import { FeatureStore } from "@ashlar/feature-store"
import * as OnlineMemory from "@ashlar/feature-store/memory"
import { Labeling } from "@ashlar/labeling"
import { Alerts, Gate, Monitoring } from "@ashlar/monitoring"
import { Orchestrator } from "@ashlar/orchestrator"
import { Lineage, ModelPorts, Models, Runs } from "@ashlar/registry"
import { Serving } from "@ashlar/serving"
import { GradientBoosting, Training } from "@ashlar/training"
import * as Tfjs from "@ashlar/training/tfjs"
import * as Layer from "effect/Layer"
import { join } from "node:path"
import * as ModelServer from "./ModelServer.ts"
import type { Options } from "./options.ts"
import * as Workspace from "./Workspace.ts"

/**
 * Every module on embedded backends: one SQLite file and a directory. Each line wires what one
 * module needs of another through a port of core; no module knows another.
 */
export const layer = (options: Options, orchestration: Orchestrator.Options) => {
  const directory = (name: string) => join(options.directory, name)
  const backends = Layer.mergeAll(
    Sqlite.layer({ file: directory("ashlar.sqlite") }),
    Fs.layer({ directory: directory("blobs") }),
  )
  const records = Layer.mergeAll(
    Runs.layer,
    Models.layer,
    Lineage.layer,
    Monitoring.layer(),
    Tokens.layer(),
    // Runs and steps leave OpenLineage events in the registry.
    Orchestrator.layer(orchestration).pipe(
      Layer.provide(Lineage.sinkLayer.pipe(Layer.provide(Lineage.layer))),
    ),
    FeatureStore.layer().pipe(Layer.provide(OnlineMemory.layer)),
  )
  const ports = Layer.mergeAll(
    Runs.trackerLayer,
    Lineage.sinkLayer,
    ModelPorts.sourceLayer({ cache: directory("cache"), pollMs: 100 }),
    FeatureStore.featureSourceLayer,
    Monitoring.layerPredictionSink,
    Orchestrator.triggerLayer,
  )
  const work = Layer.mergeAll(
    Training.layer({
      trainers: [GradientBoosting.trainer, Tfjs.trainer],
      directory: directory("models"),
    }),
    Serving.layer({ maxBatchRows: 8192 }),
    Labeling.layer,
    Alerts.layer,
  )
  const promotion = ModelPorts.sinkLayer.pipe(
    Layer.provideMerge(Gate.layer()),
    Layer.provideMerge(Serving.predictorLayer),
  )
  return ModelServer.layer(options.port).pipe(
    Layer.provideMerge(promotion),
    Layer.provideMerge(work),
    Layer.provideMerge(ports),
    Layer.provideMerge(records),
    Layer.provideMerge(backends),
    Layer.provideMerge(Workspace.layer(options)),
  )
}
