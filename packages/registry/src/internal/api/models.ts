import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { FastifyInstance } from "fastify"
import { Models, type VersionInfo } from "../../Models.ts"
import type { ModelInfo } from "../registered.ts"
import type { ModelAnswer, ModelRowAnswer, PageOf, VersionAnswer } from "./answers.ts"
import { common, Id, iso, queryUpTo, root, type Runtime, text } from "./route.ts"

const rowOf = ({ name, description, created, updated, aliases }: ModelInfo): ModelRowAnswer => ({
  name,
  description,
  created: iso(created),
  updated: iso(updated),
  aliases,
})

const versionOf = (version: VersionInfo): VersionAnswer => {
  const { manifest, created, files, runId, ...rest } = version
  return {
    name: rest.name,
    version: rest.version,
    digest: rest.digest,
    flavor: manifest.flavor,
    aliases: rest.aliases,
    ...(runId === undefined ? {} : { runId }),
    description: rest.description,
    tags: rest.tags,
    created: iso(created),
    files: files.map(({ path, size, digest }) => ({ path, size, digest })),
    inputs: manifest.signature.inputs.map(({ name, datatype, shape }) => ({
      name,
      datatype,
      shape,
    })),
    outputs: manifest.signature.outputs.map(({ name, datatype, shape }) => ({
      name,
      datatype,
      shape,
    })),
  }
}

/** Most versions and entries of history that a page shows. */
const shown = 500

const modelOf = Effect.fnUntraced(function* (name: string) {
  const models = yield* Models
  const info = yield* models.model(name)
  const { items } = yield* models.listVersions({ name, limit: shown })
  const entries = yield* models.history(name)
  const named = new Set(Object.keys(info.aliases))
  // An alias may be protected before it points anywhere.
  for (const { action, detail } of entries) {
    if (action !== "policy.set" || typeof detail !== "object" || detail === null) continue
    const alias: unknown = Reflect.get(detail, "alias")
    if (typeof alias === "string") named.add(alias)
  }
  const policies: Record<string, unknown> = {}
  for (const alias of named) {
    const policy = yield* models.policy(name, alias)
    if (policy !== undefined) policies[alias] = policy
  }
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
