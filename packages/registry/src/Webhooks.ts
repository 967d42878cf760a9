/**
 * Webhooks: HTTP requests that tell others what happened to models, versions and prompts, with
 * MLflow's events, envelope and signature.
 *
 * An event is stored in the transaction of what it tells of and delivered at least once: again
 * after a 429, a 5xx, a time-out or a crash, with the same `X-MLflow-Delivery-Id`, by which
 * receivers drop repetitions. Secrets are encrypted with the secret `registry-webhooks` of core's
 * `Secrets`. Requests reach public addresses only, unless the options say otherwise.
 *
 * @module
 */
import { type BlobStore, type Database, Id, type Page, Secrets, Timestamp } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Store from "./internal/store.ts"
import type { WebhookRow } from "./internal/migrations/0009-webhooks.ts"
import { dispatch } from "./internal/webhooks/dispatch.ts"
import { delivery } from "./internal/webhooks/delivery.ts"
import { bodyOf, type EventType, examples, isEventType } from "./internal/webhooks/events.ts"
import * as Log from "./internal/webhooks/log.ts"
import { post } from "./internal/webhooks/post.ts"
import { seal, unseal } from "./internal/webhooks/seal.ts"
import * as Subscriptions from "./internal/webhooks/subscriptions.ts"
import * as Validate from "./internal/webhooks/validate.ts"
import { invalid, notFound, RegistryError } from "./RegistryError.ts"

export type { EventType } from "./internal/webhooks/events.ts"
export { eventTypes } from "./internal/webhooks/events.ts"

/** A webhook. Its secret never leaves the registry. */
export interface Webhook {
  readonly id: string
  readonly name: string
  readonly url: string
  readonly description: string
  readonly events: ReadonlyArray<EventType>
  /** A disabled one is told nothing new; what it is still to get waits. */
  readonly status: "ACTIVE" | "DISABLED"
  /** Whether its deliveries are signed. */
  readonly isSigned: boolean
  readonly created: Timestamp.Timestamp
  readonly updated: Timestamp.Timestamp
}

/** A webhook to create. */
export interface CreateWebhook {
  /** 1 to 63 letters, digits, `.`, `_`, `-`. */
  readonly name: string
  /** At most 500 characters. */
  readonly url: string
  readonly events: ReadonlyArray<string>
  readonly description?: string
  /** Signs its deliveries. */
  readonly secret?: string
  /** Default `ACTIVE`. */
  readonly status?: "ACTIVE" | "DISABLED"
}

/** What changes; an empty `secret` ends the signing. */
export type UpdateWebhook = Partial<CreateWebhook>

/** An event on its way to a webhook, or what became of it. */
export interface Delivery {
  /** Sent as `X-MLflow-Delivery-Id`. */
  readonly id: string
  readonly event: string
  readonly state: "pending" | "delivered" | "failed"
  readonly attempts: number
  readonly created: Timestamp.Timestamp
  /** When it is tried next, if it is pending. */
  readonly due: Timestamp.Timestamp
  readonly finished?: Timestamp.Timestamp
  /** The last answer. */
  readonly responseStatus?: number
  /** At most 4 KiB of the last answer. */
  readonly responseBody?: string
  /** Why the last attempt did not succeed. */
  readonly error?: string
}

/** What a receiver answered to a test. */
export interface TestResult {
  readonly success: boolean
  readonly responseStatus?: number
  readonly responseBody?: string
  readonly error?: string
}

/** How webhooks are delivered. Times in milliseconds. */
export interface WebhooksOptions {
  /** Default `["https"]`. */
  readonly allowedSchemes?: ReadonlyArray<"http" | "https">
  /** Lets webhooks reach loopback and private networks. Default false. */
  readonly allowPrivateAddresses?: boolean
  /** Of one attempt. Default 30000. */
  readonly timeoutMs?: number
  /** Default 12, which with the other defaults is about two hours. */
  readonly maxAttempts?: number
  /** Before the second attempt; doubles with each. Default 1000. */
  readonly firstDelayMs?: number
  /** Default one hour. */
  readonly maxDelayMs?: number
  /** How long finished deliveries stay in the log. Default seven days. */
  readonly keepMs?: number
  /** How often to look for deliveries of other processes. Default 1000. */
  readonly pollMs?: number
  /** Deliveries at a time. Default 8. */
  readonly concurrency?: number
}

/** Keeps webhooks and delivers to them. */
export class Webhooks extends Context.Service<
  Webhooks,
  {
    /** Fails with `InvalidInput` when the URL may not be reached or an event is not known. */
    readonly create: (webhook: CreateWebhook) => Effect.Effect<Webhook, RegistryError>
    readonly get: (id: string) => Effect.Effect<Webhook, RegistryError>
    /** Newest first, 1 to 1000 a page. Default 100. */
    readonly list: (page?: Page.PageRequest) => Effect.Effect<Page.Page<Webhook>, RegistryError>
    readonly update: (id: string, change: UpdateWebhook) => Effect.Effect<Webhook, RegistryError>
    /** Removes a webhook with its log; what it was still to get is not sent. */
    readonly remove: (id: string) => Effect.Effect<void, RegistryError>
    /** Sends an example of an event, once and at once. Default: the webhook's first event. */
    readonly test: (id: string, event?: string) => Effect.Effect<TestResult, RegistryError>
    /** What was sent to a webhook, newest first. */
    readonly deliveries: (
      id: string,
      page?: Page.PageRequest,
    ) => Effect.Effect<Page.Page<Delivery>, RegistryError>
    /** Sends a finished delivery again, with all its attempts. */
    readonly redeliver: (deliveryId: string) => Effect.Effect<void, RegistryError>
  }
>()("@ashlar/registry/Webhooks/v1") {}

/** Where the key of the webhooks' secrets is kept. */
const keyName = "registry-webhooks"

const Create = Schema.Struct({
  name: Schema.String,
  url: Schema.String,
  events: Schema.Array(Schema.String),
  description: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(1000))),
  secret: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(1000))),
  status: Schema.optionalKey(Schema.Literals(["ACTIVE", "DISABLED"])),
})
const decodeCreate = Schema.decodeUnknownEffect(Create)
const decodeUpdate = Schema.decodeUnknownEffect(
  Schema.Struct({
    ...Create.fields,
    name: Schema.optionalKey(Create.fields.name),
    url: Schema.optionalKey(Create.fields.url),
    events: Schema.optionalKey(Create.fields.events),
  }),
)

const refused = (error: Schema.SchemaError) => invalid("webhook", error.message)

/** Makes the service; deliveries go on until the scope closes. */
export const make = Effect.fnUntraced(function* (options: WebhooksOptions = {}) {
  const store = yield* Store.make
  const secrets = yield* Secrets.Secrets
  const targets = {
    allowedSchemes: options.allowedSchemes ?? ["https"],
    allowPrivateAddresses: options.allowPrivateAddresses ?? false,
  }
  const { allowPrivateAddresses } = targets
  const posting = { allowPrivateAddresses, timeoutMs: options.timeoutMs ?? 30_000 }

  const masterKey = Effect.mapError(
    secrets.get(keyName),
    (cause) =>
      new RegistryError({
        reason: "PreconditionFailed",
        field: "secret",
        message: `the secrets of webhooks are encrypted with the secret '${keyName}': ${cause.message}`,
        cause,
      }),
  )
  const sealed = Effect.fnUntraced(function* (id: string, secret: string | undefined) {
    if (secret === undefined || secret === "") return null
    return seal(Redacted.value(yield* masterKey), id, secret)
  })
  const open = Effect.fnUntraced(function* ({ id, secret }: Pick<WebhookRow, "id" | "secret">) {
    if (secret === null) return undefined
    const text = unseal(Redacted.value(yield* masterKey), id, secret)
    if (text !== undefined) return text
    return yield* new RegistryError({
      reason: "PreconditionFailed",
      field: "secret",
      message: `the secret of webhook ${id} was encrypted with another '${keyName}': set its secret again`,
    })
  })

  const subscriptions = Subscriptions.make(store)
  const log = Log.make(store)

  yield* dispatch(store, {
    ...posting,
    maxAttempts: options.maxAttempts ?? 12,
    firstDelayMs: options.firstDelayMs ?? 1000,
    maxDelayMs: options.maxDelayMs ?? 3_600_000,
    keepMs: options.keepMs ?? 604_800_000,
    pollMs: options.pollMs ?? 1000,
    concurrency: options.concurrency ?? 8,
    open,
  })

  return Webhooks.of({
    create: Effect.fnUntraced(function* (given) {
      const webhook = yield* Effect.mapError(decodeCreate(given), refused)
      const { name, url, description = "", status = "ACTIVE" } = webhook
      yield* Validate.checkName(name)
      yield* Validate.checkUrl(url, targets)
      const events = yield* Validate.checkEvents(webhook.events)
      const [id, now] = [Id.make(), Timestamp.now()]
      const secret = yield* sealed(id, webhook.secret)
      const row = { id, name, url, description, status, secret, created: now, updated: now }
      return yield* store.wrap(subscriptions.create(row, events))
    }),
    get: (id) => store.wrap(subscriptions.get(id)),
    list: (page) => store.wrap(subscriptions.list(page)),
    update: Effect.fnUntraced(function* (id, change) {
      const { events, secret, ...rest } = yield* Effect.mapError(decodeUpdate(change), refused)
      yield* store.wrap(subscriptions.get(id))
      if (rest.name !== undefined) yield* Validate.checkName(rest.name)
      if (rest.url !== undefined) yield* Validate.checkUrl(rest.url, targets)
      const told = events === undefined ? undefined : yield* Validate.checkEvents(events)
      const set = {
        ...rest,
        ...(secret === undefined ? {} : { secret: yield* sealed(id, secret) }),
        updated: Timestamp.now(),
      }
      return yield* store.wrap(subscriptions.update(id, set, told))
    }),
    remove: (id) => store.wrap(subscriptions.remove(id)),
    test: Effect.fnUntraced(function* (id, wanted) {
      const { row, events } = yield* store.wrap(subscriptions.row(id))
      const event = wanted ?? events[0] ?? "registered_model.created"
      if (!isEventType(event)) return yield* Validate.unknownEvent("event", event)
      const now = Timestamp.now()
      const body = bodyOf(event, examples[event], Timestamp.toIso(now))
      const { id: deliveryId } = delivery({ webhook: id, event, body, now })
      const secret = yield* open(row)
      const seconds = Math.floor(now / 1_000_000)
      const outgoing = { id: deliveryId, url: row.url, body, secret, seconds }
      return yield* Effect.match(
        Effect.tryPromise({
          try: (signal) => post(outgoing, posting, signal),
          catch: (cause) => (cause instanceof Error ? cause.message : String(cause)),
        }),
        {
          onSuccess: ({ status, body: text }): TestResult => ({
            success: status < 400,
            responseStatus: status,
            responseBody: text,
          }),
          onFailure: (error): TestResult => ({ success: false, error }),
        },
      )
    }),
    deliveries: Effect.fnUntraced(function* (id, page) {
      yield* store.wrap(subscriptions.get(id))
      return yield* store.wrap(log.list(id, page))
    }),
    redeliver: Effect.fnUntraced(function* (deliveryId) {
      const isThere = yield* store.wrap(log.again(deliveryId))
      if (!isThere) return yield* notFound(`finished delivery ${deliveryId.slice(0, 100)}`)
    }),
  })
})

/** Webhooks on a Database. Open it once in a process: each delivers, by its own options. */
export const layer = (
  options: WebhooksOptions = {},
): Layer.Layer<
  Webhooks,
  RegistryError,
  Database.Database | BlobStore.BlobStore | Secrets.Secrets
> => Layer.effect(Webhooks, make(options))
