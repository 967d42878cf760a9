import type { Family } from "../cases.ts"
import { aliases } from "./aliases.ts"
import { artifacts } from "./artifacts.ts"
import { badInput } from "./bad-input.ts"
import { batches } from "./batches.ts"
import { experiments } from "./experiments.ts"
import { inputs } from "./inputs.ts"
import { loggedModels } from "./logged-models.ts"
import { metrics } from "./metrics.ts"
import { modelVersions } from "./model-versions.ts"
import { registeredModels } from "./registered-models.ts"
import { runs } from "./runs.ts"
import { search } from "./search.ts"
import { stages } from "./stages.ts"
import { transport } from "./transport.ts"
import { validation } from "./validation.ts"
import { webhooks } from "./webhooks.ts"

/** All families, in the order of replay. */
export const families: ReadonlyArray<Family> = [
  experiments,
  runs,
  metrics,
  batches,
  inputs,
  loggedModels,
  registeredModels,
  modelVersions,
  aliases,
  stages,
  artifacts,
  search,
  validation,
  badInput,
  transport,
  webhooks,
]
