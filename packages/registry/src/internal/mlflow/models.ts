import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Models } from "../../Models.ts"
import { invalid } from "../../RegistryError.ts"
import type { ModelInfo } from "../registered.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import * as Render from "./render.ts"
import * as Request from "./request.ts"

/** The clients put this behind every filter; there are no prompts here. */
const noPrompts = /^\s*tags?\.`mlflow\.prompt\.is_prompt`\s*!=\s*'true'\s*$/

const isEmpty = (filter: string | undefined): boolean =>
  filter === undefined || filter.trim() === "" || noPrompts.test(filter)

const Search = Schema.Struct({
  filter: Schema.optionalKey(Schema.String),
  max_results: Schema.optionalKey(Request.Int64),
  order_by: Schema.optionalKey(Request.Texts),
  page_token: Schema.optionalKey(Schema.String),
})

const versionNumber = (text: string | number) => {
  const value = Number(text)
  return Number.isSafeInteger(value) && value > 0
    ? Effect.succeed(value)
    : Effect.fail(
        invalid(
          "version",
          `Parameter 'version' must be an integer, got '${String(text).slice(0, 100)}'.`,
        ),
      )
}

const checkAlias = (alias: string) =>
  alias.toLowerCase() === "latest" || /^[vV]\d+$/.test(alias)
    ? Effect.fail(
        invalid(
          "alias",
          `Invalid alias name: '${alias}': '${alias}' is reserved, choose a name that is no version.`,
        ),
      )
    : Effect.void

const withLatest = Effect.fnUntraced(function* (model: ModelInfo) {
  const models = yield* Models
  const latest =
    model.latest === undefined
      ? undefined
      : yield* models.resolve({ name: model.name, version: model.latest })
  return Render.registeredModel(model, latest)
})

const Version = Schema.Struct({
  name: Schema.NonEmptyString,
  version: Schema.Union([Schema.NonEmptyString, Schema.Int]),
})
const Alias = Schema.Struct({ name: Schema.NonEmptyString, alias: Schema.NonEmptyString })
const aliasPath = "/registered-models/alias"

const registeredModels: ReadonlyArray<Endpoint> = [
  endpoint(
    ["POST"],
    "/registered-models/create",
    "write",
    Schema.Struct({
      name: Schema.NonEmptyString,
      tags: Schema.optionalKey(Request.Pairs),
      description: Schema.optionalKey(Schema.String),
    }),
    Effect.fnUntraced(function* ({ name, tags, description = "" }) {
      const given = Request.recordOf(tags, 5000)
      if (Object.hasOwn(given, "mlflow.prompt.is_prompt")) {
        return yield* Request.unsupported("tags", "prompts")
      }
      const models = yield* Models
      const model = yield* models.create({ name, description, tags: given })
      return { registered_model: yield* withLatest(model) }
    }),
  ),
  endpoint(
    ["GET"],
    "/registered-models/get",
    "read",
    Schema.Struct({ name: Schema.NonEmptyString }),
    Effect.fnUntraced(function* ({ name }) {
      const models = yield* Models
      return { registered_model: yield* withLatest(yield* models.model(name)) }
    }),
  ),
  endpoint(
    ["GET"],
    "/registered-models/search",
    "read",
    Search,
    Effect.fnUntraced(function* (input) {
      const limit = yield* Request.maxResults(input.max_results, 100, 1000)
      if (!isEmpty(input.filter)) return yield* Request.unsupported("filter", "search by filter")
      if ((input.order_by ?? "").length > 0) {
        return yield* Request.unsupported("order_by", "another order than by name")
      }
      const models = yield* Models
      const { items, next } = yield* models.list({ limit, ...Request.tokenOf(input) })
      const rendered = yield* Effect.forEach(items, withLatest)
      return Render.page("registered_models", rendered, next)
    }),
  ),
  endpoint(
    ["POST"],
    aliasPath,
    "write",
    Schema.Struct({ ...Alias.fields, version: Version.fields.version }),
    Effect.fnUntraced(function* ({ name, alias, version }) {
      yield* checkAlias(alias)
      const models = yield* Models
      yield* models.setAlias(name, alias, yield* versionNumber(version))
      return {}
    }),
  ),
  endpoint(
    ["DELETE"],
    aliasPath,
    "write",
    Alias,
    Effect.fnUntraced(function* ({ name, alias }) {
      const models = yield* Models
      const { aliases } = yield* models.model(name)
      if (Object.hasOwn(aliases, alias)) yield* models.removeAlias(name, alias)
      return {}
    }),
  ),
  endpoint(
    ["GET"],
    aliasPath,
    "read",
    Alias,
    Effect.fnUntraced(function* ({ name, alias }) {
      const models = yield* Models
      const { aliases } = yield* models.model(name)
      const version = Object.hasOwn(aliases, alias) ? aliases[alias] : undefined
      if (version === undefined) {
        return yield* invalid("alias", `Registered model alias ${alias} not found.`)
      }
      return { model_version: Render.modelVersion(yield* models.resolve({ name, version })) }
    }),
  ),
]

const modelVersions: ReadonlyArray<Endpoint> = [
  endpoint(
    ["GET"],
    "/model-versions/get",
    "read",
    Version,
    Effect.fnUntraced(function* ({ name, version }) {
      const models = yield* Models
      const found = yield* models.resolve({ name, version: yield* versionNumber(version) })
      return { model_version: Render.modelVersion(found) }
    }),
  ),
  endpoint(
    ["GET"],
    "/model-versions/search",
    "read",
    Search,
    Effect.fnUntraced(function* (input) {
      const limit = yield* Request.maxResults(input.max_results, 10_000, 200_000)
      const name = /^\s*name\s*=\s*'([^']*)'\s*$/.exec(input.filter ?? "")?.[1]
      if (name === undefined && !isEmpty(input.filter)) {
        return yield* Request.unsupported("filter", "a filter other than name = '...'")
      }
      if ((input.order_by ?? "").length > 0) {
        return yield* Request.unsupported("order_by", "another order than by name")
      }
      const models = yield* Models
      const { items, next } = yield* models.listVersions({
        limit,
        ...(name === undefined ? {} : { name }),
        ...Request.tokenOf(input),
      })
      return Render.page("model_versions", items.map(Render.modelVersion), next)
    }),
  ),
]

/** Registered models over MLflow's REST API. */
export const endpoints: ReadonlyArray<Endpoint> = [...registeredModels, ...modelVersions]
