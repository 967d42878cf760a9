import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Models } from "../../Models.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import { numberOf, Name, Search, searchOf, Tags, tagsOf, Version } from "./model-requests.ts"
import * as Render from "./render.ts"
import { modelVersion } from "./render-models.ts"

const create = endpoint(
  ["POST"],
  "/model-versions/create",
  "write",
  Schema.Struct({
    ...Name.fields,
    source: Schema.NonEmptyString,
    run_id: Schema.optionalKey(Schema.String),
    tags: Schema.optionalKey(Tags),
    run_link: Schema.optionalKey(Schema.String),
    description: Schema.optionalKey(Schema.String),
    model_id: Schema.optionalKey(Schema.String),
  }),
  Effect.fnUntraced(function* (input) {
    const { name, source, run_id, tags, run_link, description, model_id } = input
    const models = yield* Models
    const version = yield* models.createVersion({
      name,
      source,
      tags: tagsOf(tags),
      ...(run_id === undefined ? {} : { runId: run_id }),
      ...(run_link === undefined ? {} : { runLink: run_link }),
      ...(description === undefined ? {} : { description }),
      ...(model_id === undefined ? {} : { loggedModelId: model_id }),
    })
    return { model_version: modelVersion(version, "aliases") }
  }),
)

const get = endpoint(
  ["GET"],
  "/model-versions/get",
  "read",
  Version,
  Effect.fnUntraced(function* ({ name, version }) {
    const models = yield* Models
    const found = yield* models.resolve({ name, version: yield* numberOf(version) })
    return { model_version: modelVersion(found, "aliases") }
  }),
)

const update = endpoint(
  ["PATCH"],
  "/model-versions/update",
  "write",
  Schema.Struct({ ...Version.fields, description: Schema.optionalKey(Schema.String) }),
  Effect.fnUntraced(function* ({ name, version, description }) {
    const models = yield* Models
    const found = yield* models.describeVersion(name, yield* numberOf(version), description)
    return { model_version: modelVersion(found, "aliases") }
  }),
)

const remove = endpoint(
  ["DELETE"],
  "/model-versions/delete",
  "write",
  Version,
  Effect.fnUntraced(function* ({ name, version }) {
    const models = yield* Models
    yield* models.removeVersion(name, yield* numberOf(version))
    return {}
  }),
)

const search = endpoint(
  ["GET"],
  "/model-versions/search",
  "read",
  Search,
  Effect.fnUntraced(function* (input) {
    const models = yield* Models
    const { items, next } = yield* models.searchVersions(yield* searchOf(input, 10_000, 200_000))
    const versions = items.map((version) => modelVersion(version, "none"))
    return Render.page("model_versions", versions, next)
  }),
)

const downloadUri = endpoint(
  ["GET"],
  "/model-versions/get-download-uri",
  "read",
  Version,
  Effect.fnUntraced(function* ({ name, version }) {
    const models = yield* Models
    const { storage } = yield* models.resolve({ name, version: yield* numberOf(version) })
    return { artifact_uri: storage }
  }),
)

const setTag = endpoint(
  ["POST"],
  "/model-versions/set-tag",
  "write",
  Schema.Struct({
    ...Version.fields,
    key: Schema.NonEmptyString,
    value: Schema.optionalKey(Schema.String),
  }),
  Effect.fnUntraced(function* ({ name, version, key, value = "" }) {
    const models = yield* Models
    yield* models.setVersionTag(name, yield* numberOf(version), key, value)
    return {}
  }),
)

const removeTag = endpoint(
  ["DELETE"],
  "/model-versions/delete-tag",
  "write",
  Schema.Struct({ ...Version.fields, key: Schema.NonEmptyString }),
  Effect.fnUntraced(function* ({ name, version, key }) {
    const models = yield* Models
    yield* models.removeVersionTag(name, yield* numberOf(version), key)
    return {}
  }),
)

/** A stage that a policy protects takes what the policy agrees to: 403 with what is missing. */
const transition = endpoint(
  ["POST"],
  "/model-versions/transition-stage",
  "write",
  Schema.Struct({
    ...Version.fields,
    stage: Schema.NonEmptyString,
    archive_existing_versions: Schema.optionalKey(Schema.Boolean),
  }),
  Effect.fnUntraced(function* ({ name, version, stage, archive_existing_versions = false }) {
    const models = yield* Models
    const found = yield* models.transition({
      name,
      version: yield* numberOf(version),
      stage,
      archiveExisting: archive_existing_versions,
    })
    return { model_version: modelVersion(found, "aliases") }
  }),
)

/** Versions of models over MLflow's REST API. */
export const endpoints: ReadonlyArray<Endpoint> = [
  create,
  get,
  update,
  remove,
  search,
  downloadUri,
  setTag,
  removeTag,
  transition,
]
