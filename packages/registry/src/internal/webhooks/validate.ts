import { promises as dns } from "node:dns"
import { isIP } from "node:net"
import * as Effect from "effect/Effect"
import { invalid, type RegistryError } from "../../RegistryError.ts"
import { isPublicAddress } from "./address.ts"
import { type EventType, eventTypes, isEventType } from "./events.ts"

/** Which targets are allowed. */
export interface Targets {
  readonly allowedSchemes: ReadonlyArray<string>
  readonly allowPrivateAddresses: boolean
}

const namePattern = /^(?=.{1,63}$)[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/i

/** How long a name may take to be resolved, in milliseconds. */
const patience = 5000

/** A text as MLflow's messages show it. */
const shown = (text: string): string => {
  const short = text.slice(0, 500)
  return short.includes("'") && !short.includes('"')
    ? `"${short}"`
    : `'${short.replaceAll("'", "\\'")}'`
}

/** A webhook's name. */
export const checkName = (name: string): Effect.Effect<void, RegistryError> =>
  namePattern.test(name)
    ? Effect.void
    : Effect.fail(
        invalid(
          "name",
          `Webhook name ${shown(name)} is invalid. It must start and end with a letter or digit, be less than 63 characters long, and contain only letters, digits, dots (.), underscores (_), and hyphens (-).`,
        ),
      )

/** Nothing of this name happens. */
export const unknownEvent = (field: string, event: string): RegistryError => {
  const [entity = "", action = ""] = event.split(".", 2)
  const actions = eventTypes
    .filter((known) => known.startsWith(`${entity}.`))
    .map((known) => shown(known.slice(entity.length + 1)))
    .sort()
  return invalid(
    field,
    actions.length === 0
      ? `There is no event ${shown(event)}: there are ${eventTypes.join(", ")}.`
      : `Invalid action ${shown(action)} for entity ${shown(entity)}. Valid actions are: [${actions.join(", ")}]`,
  )
}

/** Events to be told of. */
export const checkEvents = (
  events: ReadonlyArray<string>,
): Effect.Effect<ReadonlyArray<EventType>, RegistryError> => {
  const known = [...new Set(events)].filter(isEventType)
  const unknown = events.find((event) => !isEventType(event))
  if (unknown !== undefined) return Effect.fail(unknownEvent("events", unknown))
  return known.length > 0
    ? Effect.succeed(known)
    : Effect.fail(
        invalid("events", "Webhook events must be a non-empty list of WebhookEvent objects: []."),
      )
}

const resolved = (host: string): Promise<ReadonlyArray<string>> =>
  Promise.race([
    dns.lookup(host, { all: true }).then((found) => found.map(({ address }) => address)),
    new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error("no answer in time")), patience).unref()
    }),
  ])

const checkHost = (host: string, written: string): Effect.Effect<void, RegistryError> =>
  Effect.gen(function* () {
    const addresses = yield* isIP(host) === 0
      ? Effect.tryPromise({
          try: () => resolved(host),
          catch: (cause) =>
            invalid(
              "url",
              `Cannot resolve Webhook URL hostname ${shown(written)}: ${cause instanceof Error ? cause.message : String(cause)}`,
            ),
        })
      : Effect.succeed([host])
    const wrong = addresses.find((address) => !isPublicAddress(address))
    if (wrong !== undefined) {
      return yield* invalid(
        "url",
        `Webhook URL must not resolve to a non-public IP address. ${shown(written)} resolves to ${wrong}.`,
      )
    }
  })

/**
 * A webhook's target. Names are resolved here to tell the caller at once; what counts is the check
 * at each connection.
 */
export const checkUrl = (
  url: string,
  { allowedSchemes, allowPrivateAddresses }: Targets,
): Effect.Effect<void, RegistryError> => {
  const refuse = (message: string) => Effect.fail(invalid("url", message))
  if (url.trim() === "") {
    return refuse(`Webhook URL cannot be empty or just whitespace: ${shown(url)}`)
  }
  if (url.length > 500) return refuse(`Webhook URL has ${url.length} characters: 500 are allowed.`)
  const scheme = (/^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1] ?? "").toLowerCase()
  if (!allowedSchemes.includes(scheme)) {
    return refuse(
      `Invalid webhook URL scheme: ${shown(scheme)}. Allowed schemes are: ${allowedSchemes.join(", ")}.`,
    )
  }
  const parsed = URL.parse(url)
  // To the WHATWG parser `https:///x` and `https:x` are the host x.
  if (!/^[a-z0-9+.-]+:\/\/[^/?#]/i.test(url)) {
    return refuse(`Webhook URL must include a hostname: ${shown(url)}`)
  }
  if (parsed === null) return refuse(`Invalid webhook URL ${shown(url)}: it cannot be parsed`)
  if (parsed.username !== "" || parsed.password !== "") {
    return refuse("Webhook URL must not include embedded credentials: give the webhook a secret.")
  }
  const host = parsed.hostname.replace(/^\[|\]$/g, "")
  const written = /^[^:]+:\/\/\[?((?<=\[)[^\]]*|[^:/?#]*)/.exec(url)?.[1] ?? host
  return allowPrivateAddresses ? Effect.void : checkHost(host, written.toLowerCase())
}
