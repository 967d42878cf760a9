import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type ModelInfo, Models } from "../../Models.ts"
import { invalid, RegistryError } from "../../RegistryError.ts"
import * as Rules from "../model-rules.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import { Name, Search, searchOf, Tags, tagsOf, Version, numberOf } from "./model-requests.ts"
import * as Render from "./render.ts"
import * as RenderModels from "./render-models.ts"
import * as Request from "./request.ts"

/** Models with the newest version of each stage. */
const rendered = Effect.fnUntraced(function* (items: ReadonlyArray<ModelInfo>) {
  const models = yield* Models
  const latest = yield* models.latestVersions(items.map(({ name }) => name))
  return items.map((model) => RenderModels.registeredModel(model, latest.get(model.name)))
})

const answer = Effect.fnUntraced(function* (model: ModelInfo) {
  const [registered_model] = yield* rendered([model])
  return { registered_model }
})

const create = endpoint(
  ["POST"],
  "/registered-models/create",
  "write",
  Schema.Struct({
    ...Name.fields,
    tags: Schema.optionalKey(Tags),
    description: Schema.optionalKey(Schema.String),
  }),
  Effect.fnUntraced(function* ({ name, tags, description = "" }) {
    const models = yield* Models
    return yield* answer(yield* models.create({ name, description, tags: tagsOf(tags) }))
  }),
)

const rename = endpoint(
  ["POST"],
  "/registered-models/rename",
  "write",
  Schema.Struct({ ...Name.fields, new_name: Schema.NonEmptyString }),
  Effect.fnUntraced(function* ({ name, new_name }) {
    const models = yield* Models
    return yield* answer(yield* models.rename(name, new_name))
  }),
)

const update = endpoint(
  ["PATCH"],
  "/registered-models/update",
  "write",
  Schema.Struct({ ...Name.fields, description: Schema.optionalKey(Schema.String) }),
  Effect.fnUntraced(function* ({ name, description = "" }) {
    const models = yield* Models
    return yield* answer(yield* models.describe(name, description))
  }),
)

const remove = endpoint(
  ["DELETE"],
  "/registered-models/delete",
  "write",
  Name,
  Effect.fnUntraced(function* ({ name }) {
    const models = yield* Models
    yield* models.remove(name)
    return {}
  }),
)

const get = endpoint(
  ["GET"],
  "/registered-models/get",
  "read",
  Name,
  Effect.fnUntraced(function* ({ name }) {
    const models = yield* Models
    return yield* answer(yield* models.model(name))
  }),
)

const search = endpoint(
  ["GET"],
  "/registered-models/search",
  "read",
  Search,
  Effect.fnUntraced(function* (input) {
    const models = yield* Models
    const { items, next } = yield* models.search(yield* searchOf(input, 100, 1000))
    return Render.page("registered_models", yield* rendered(items), next)
  }),
)

const latestVersions = endpoint(
  ["GET", "POST"],
  "/registered-models/get-latest-versions",
  "read",
  Schema.Struct({ ...Name.fields, stages: Schema.optionalKey(Request.Texts) }),
  Effect.fnUntraced(function* ({ name, stages: given }) {
    const models = yield* Models
    yield* models.model(name)
    const stages = yield* Effect.forEach(Request.textsOf(given), Rules.stage)
    const latest = (yield* models.latestVersions([name])).get(name) ?? []
    const wanted = latest.filter(({ stage }) => stages.length === 0 || stages.includes(stage))
    return Render.list(
      "model_versions",
      wanted.map((version) => RenderModels.modelVersion(version, "aliases")),
    )
  }),
)

const setTag = endpoint(
  ["POST"],
  "/registered-models/set-tag",
  "write",
  Schema.Struct({
    ...Name.fields,
    key: Schema.NonEmptyString,
    value: Schema.optionalKey(Schema.String),
  }),
  Effect.fnUntraced(function* ({ name, key, value = "" }) {
    const models = yield* Models
    yield* models.setTag(name, key, value)
    return {}
  }),
)

const removeTag = endpoint(
  ["DELETE"],
  "/registered-models/delete-tag",
  "write",
  Schema.Struct({ ...Name.fields, key: Schema.NonEmptyString }),
  Effect.fnUntraced(function* ({ name, key }) {
    const models = yield* Models
    yield* models.removeTag(name, key)
    return {}
  }),
)

const Alias = Schema.Struct({ ...Name.fields, alias: Schema.NonEmptyString })
const aliasPath = "/registered-models/alias"

/** Where a policy protects the alias, the policy decides: 403 with what is missing. */
const setAlias = endpoint(
  ["POST"],
  aliasPath,
  "write",
  Schema.Struct({ ...Alias.fields, version: Version.fields.version }),
  Effect.fnUntraced(function* ({ name, alias, version }) {
    yield* Rules.name(name)
    yield* Rules.alias(alias, false)
    yield* Rules.freeAlias(alias, false)
    const models = yield* Models
    yield* models.setAlias(name, alias, yield* numberOf(version))
    return {}
  }),
)

const removeAlias = endpoint(
  ["DELETE"],
  aliasPath,
  "write",
  Alias,
  Effect.fnUntraced(function* ({ name, alias }) {
    yield* Rules.alias(alias, false)
    const models = yield* Models
    const { aliases } = yield* models.model(name)
    if (!Object.hasOwn(aliases, alias)) return {}
    // Somebody else may have removed it meanwhile.
    yield* Effect.catchIf(
      models.removeAlias(name, alias),
      (error) => error.reason === "NotFound",
      () => Effect.void,
    )
    return {}
  }),
)

const getAlias = endpoint(
  ["GET"],
  aliasPath,
  "read",
  Alias,
  Effect.fnUntraced(function* ({ name, alias }) {
    yield* Rules.name(name)
    yield* Rules.alias(alias, false)
    const models = yield* Models
    const { aliases, latest } = yield* models.model(name)
    const isLatest = alias.toLowerCase() === "latest"
    const held = Object.hasOwn(aliases, alias) ? aliases[alias] : undefined
    const version = isLatest ? latest : held
    if (version !== undefined) {
      const found = yield* models.resolve({ name, version })
      return { model_version: RenderModels.modelVersion(found, "aliases") }
    }
    return yield* isLatest
      ? new RegistryError({
          reason: "NotFound",
          message: `Latest version not found for model ${name}.`,
        })
      : invalid("alias", `Registered model alias ${alias} not found.`)
  }),
)

/** Registered models and their aliases over MLflow's REST API. */
export const endpoints: ReadonlyArray<Endpoint> = [
  create,
  rename,
  update,
  remove,
  get,
  search,
  latestVersions,
  setTag,
  removeTag,
  setAlias,
  removeAlias,
  getAlias,
]
