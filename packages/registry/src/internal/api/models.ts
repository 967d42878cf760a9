import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { FastifyInstance } from "fastify"
import { Models, type VersionInfo } from "../../Models.ts"
import { Promotions } from "../../Promotions.ts"
import type { ModelInfo } from "../registered.ts"
import type {
  ColumnSpecAnswer,
  ModelAnswer,
  ModelRowAnswer,
  PageOf,
  VersionAnswer,
} from "./answers.ts"
import { common, Id, iso, queryUpTo, root, type Runtime, text } from "./route.ts"

const rowOf = ({ name, description, created, updated, aliases }: ModelInfo): ModelRowAnswer => ({
  name,
  description,
  created: iso(created),
  updated: iso(updated),
  aliases,
})

const versionOf = (version: VersionInfo): VersionAnswer => {
  const { manifest, created, digest, runId, files } = version
  const specs = (side: "inputs" | "outputs"): ReadonlyArray<ColumnSpecAnswer> =>
    manifest?.signature[side].map(({ name, datatype, shape }) => ({ name, datatype, shape })) ?? []
  return {
    name: version.name,
    version: version.version,
    // A version whose files lie elsewhere has neither digest nor manifest here.
    ...(digest === undefined ? {} : { digest }),
    ...(manifest === undefined ? {} : { flavor: manifest.flavor }),
    aliases: version.aliases,
    ...(runId === undefined ? {} : { runId }),
    description: version.description ?? "",
    tags: version.tags,
    created: iso(created),
    files: files.map(({ path, size }) => ({ path, size })),
    inputs: specs("inputs"),
    outputs: specs("outputs"),
  }
}

/** Most versions and entries of history that a page shows. */
const shown = 500

const modelOf = Effect.fnUntraced(function* (name: string) {
  const models = yield* Models
  const info = yield* models.model(name)
  const { items } = yield* models.listVersions({ name, limit: shown })
  const entries = yield* models.history(name)
  const policies = yield* (yield* Promotions).policies(name)
  const answer: ModelAnswer = {
    ...rowOf(info),
    tags: info.tags,
    versions: items.map(versionOf),
    policies,
    history: entries
      .slice(-shown)
      .toReversed()
      .map(({ position, time, action, detail }) => ({ position, time: iso(time), action, detail })),
  }
  return answer
})

/** Registers what reads registered models. */
export const register = (app: FastifyInstance, runtime: Runtime): void => {
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: `${root}/models`,
    operation: "registryModels",
    summary: "Registered models by name",
    access: { verb: "read" },
    query: Schema.Struct({
      limit: Schema.optionalKey(queryUpTo(1000)),
      token: Schema.optionalKey(text(4000)),
    }),
    handler: ({ query }) =>
      Effect.gen(function* () {
        const page = yield* (yield* Models).list(query)
        const answer: PageOf<ModelRowAnswer> = { ...page, items: page.items.map(rowOf) }
        return answer
      }),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: `${root}/models/:name`,
    operation: "registryModel",
    summary: "A model with its versions, aliases, policies and history",
    access: { verb: "read" },
    params: Schema.Struct({ name: Id }),
    handler: ({ params }) => modelOf(params.name),
  })
}
