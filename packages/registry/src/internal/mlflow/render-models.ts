import type { ModelInfo, VersionInfo } from "../../Models.ts"
import { type Json, list, millis, pairs } from "./render.ts"

/** A `ModelVersion`. MLflow tells its aliases only where one version is asked for. */
export const modelVersion = (version: VersionInfo, aliases: "aliases" | "none"): Json => ({
  name: version.name,
  version: String(version.version),
  creation_timestamp: millis(version.created),
  last_updated_timestamp: millis(version.updated),
  current_stage: version.stage,
  ...(version.description === undefined ? {} : { description: version.description }),
  source: version.source,
  run_id: version.runId ?? "",
  run_link: version.runLink ?? "",
  status: "READY",
  ...list("tags", pairs(version.tags)),
  ...list("aliases", aliases === "none" ? [] : version.aliases),
})

/** A `RegisteredModel`, with the newest version of each stage. */
export const registeredModel = (
  model: ModelInfo,
  latest: ReadonlyArray<VersionInfo> = [],
): Json => ({
  name: model.name,
  creation_timestamp: millis(model.created),
  last_updated_timestamp: millis(model.updated),
  ...(model.description === "" ? {} : { description: model.description }),
  ...list(
    "latest_versions",
    latest.map((version) => modelVersion(version, "none")),
  ),
  ...list("tags", pairs(model.tags)),
  ...list(
    "aliases",
    Object.entries(model.aliases).map(([alias, version]) => ({ alias, version: String(version) })),
  ),
})
