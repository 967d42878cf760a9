import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid } from "../../RegistryError.ts"
import { type TestResult, type Webhook, Webhooks } from "../../Webhooks.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import * as Render from "./render.ts"
import * as Request from "./request.ts"

/** Protocol buffers take names of enums and numbers. */
const entities: ReadonlyArray<string> = [
  "ENTITY_UNSPECIFIED",
  "REGISTERED_MODEL",
  "MODEL_VERSION",
  "MODEL_VERSION_TAG",
  "MODEL_VERSION_ALIAS",
  "PROMPT",
  "PROMPT_VERSION",
  "PROMPT_TAG",
  "PROMPT_VERSION_TAG",
  "PROMPT_ALIAS",
  "BUDGET_POLICY",
]
const actions: ReadonlyArray<string> = [
  "ACTION_UNSPECIFIED",
  "CREATED",
  "UPDATED",
  "DELETED",
  "SET",
  "EXCEEDED",
]

const Enum = Schema.Union([Schema.NonEmptyString, Schema.Int])
const Event = Schema.Struct({ entity: Enum, action: Enum })
const Status = Schema.Literals(["ACTIVE", "DISABLED", 1, 2])
const Text = Schema.optionalKey(Schema.String)

const nameOf = (names: ReadonlyArray<string>, value: string | number): string =>
  (typeof value === "number" ? names[value] : value) ?? String(value)

const statusOf = (status: typeof Status.Type): "ACTIVE" | "DISABLED" =>
  status === "ACTIVE" || status === 1 ? "ACTIVE" : "DISABLED"

/** `registered_model.created` of `{entity: "REGISTERED_MODEL", action: "CREATED"}`. */
const eventOf = Effect.fnUntraced(function* (event: typeof Event.Type) {
  const [entity, action] = [nameOf(entities, event.entity), nameOf(actions, event.action)]
  for (const [field, name, names] of [
    ["entity", entity, entities],
    ["action", action, actions],
  ] as const) {
    if (!names.includes(name)) {
      return yield* invalid(
        field,
        `Invalid value "${name}" for parameter 'events.${field}' supplied.`,
      )
    }
  }
  return `${entity}.${action}`.toLowerCase()
})

const eventsOf = (events: ReadonlyArray<typeof Event.Type>) => Effect.forEach(events, eventOf)

const rendered = (webhook: Webhook) => ({
  webhook_id: webhook.id,
  name: webhook.name,
  ...(webhook.description === "" ? {} : { description: webhook.description }),
  url: webhook.url,
  events: webhook.events.map((event) => {
    const [entity = "", action = ""] = event.toUpperCase().split(".")
    return { entity, action }
  }),
  status: webhook.status,
  creation_timestamp: Render.millis(webhook.created),
  last_updated_timestamp: Render.millis(webhook.updated),
})

const tested = ({ success, responseStatus, responseBody, error }: TestResult) => ({
  success,
  ...(responseStatus === undefined ? {} : { response_status: responseStatus }),
  ...(responseBody === undefined ? {} : { response_body: responseBody }),
  ...(error === undefined ? {} : { error_message: `Failed to test webhook: ${error}` }),
})

/** What is given, without texts that are empty. */
const given = <K extends string>(key: K, text: string | undefined) =>
  text === undefined || text === "" ? {} : ({ [key]: text } as Readonly<Record<K, string>>)

const Fields = { description: Text, secret: Text, status: Schema.optionalKey(Status) }
const path = "/webhooks/:webhook_id"
const ById = { webhook_id: Schema.NonEmptyString }

/** Webhooks over MLflow's REST API. */
export const endpoints: ReadonlyArray<Endpoint> = [
  endpoint(
    ["POST"],
    "/webhooks",
    "write",
    Schema.Struct({
      ...Fields,
      name: Schema.NonEmptyString,
      url: Schema.NonEmptyString,
      events: Schema.Array(Event),
    }),
    Effect.fnUntraced(function* ({ name, url, events, description, secret, status }) {
      const webhooks = yield* Webhooks
      const webhook = yield* webhooks.create({
        name,
        url,
        events: yield* eventsOf(events),
        ...given("description", description),
        ...given("secret", secret),
        ...(status === undefined ? {} : { status: statusOf(status) }),
      })
      return { webhook: rendered(webhook) }
    }),
  ),
  endpoint(
    ["GET"],
    "/webhooks",
    "read",
    Schema.Struct({ max_results: Schema.optionalKey(Request.Int64), page_token: Text }),
    Effect.fnUntraced(function* (input) {
      const webhooks = yield* Webhooks
      const limit = Number(input.max_results ?? 0)
      const { items, next } = yield* webhooks.list({
        ...(limit === 0 ? {} : { limit }),
        ...Request.tokenOf(input),
      })
      return Render.page("webhooks", items.map(rendered), next)
    }),
  ),
  endpoint(
    ["GET"],
    path,
    "read",
    Schema.Struct(ById),
    Effect.fnUntraced(function* ({ webhook_id }) {
      const webhooks = yield* Webhooks
      return { webhook: rendered(yield* webhooks.get(webhook_id)) }
    }),
  ),
  endpoint(
    ["PATCH"],
    path,
    "write",
    Schema.Struct({
      ...ById,
      ...Fields,
      name: Text,
      url: Text,
      events: Schema.optionalKey(Schema.Array(Event)),
    }),
    Effect.fnUntraced(function* ({ webhook_id, name, url, events = [], status, ...texts }) {
      const webhooks = yield* Webhooks
      const { description, secret } = texts
      const webhook = yield* webhooks.update(webhook_id, {
        ...given("name", name),
        ...given("url", url),
        ...(events.length === 0 ? {} : { events: yield* eventsOf(events) }),
        ...(description === undefined ? {} : { description }),
        ...(secret === undefined ? {} : { secret }),
        ...(status === undefined ? {} : { status: statusOf(status) }),
      })
      return { webhook: rendered(webhook) }
    }),
  ),
  endpoint(
    ["DELETE"],
    path,
    "write",
    Schema.Struct(ById),
    Effect.fnUntraced(function* ({ webhook_id }) {
      const webhooks = yield* Webhooks
      yield* webhooks.remove(webhook_id)
      return {}
    }),
  ),
  endpoint(
    ["POST"],
    `${path}/test`,
    "write",
    Schema.Struct({ ...ById, event: Schema.optionalKey(Event) }),
    Effect.fnUntraced(function* ({ webhook_id, event }) {
      const webhooks = yield* Webhooks
      const wanted = event === undefined ? undefined : yield* eventOf(event)
      return { result: tested(yield* webhooks.test(webhook_id, wanted)) }
    }),
  ),
]
