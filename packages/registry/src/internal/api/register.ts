import type { FastifyInstance } from "fastify"
import * as Artifacts from "./artifacts.ts"
import * as Lineage from "./lineage.ts"
import * as Live from "./live.ts"
import * as Models from "./models.ts"
import type { Runtime } from "./route.ts"
import * as Runs from "./runs.ts"
import * as Views from "./views.ts"

/** Registers the API that the pages read, below `/api/ashlar/registry`. */
export const register = (app: FastifyInstance, runtime: Runtime): void => {
  for (const part of [Runs, Artifacts, Models, Lineage, Views, Live]) part.register(app, runtime)
}
