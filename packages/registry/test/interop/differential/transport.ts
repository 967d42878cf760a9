import { request } from "node:http"
import type { Case, Query } from "./cases.ts"

/** What earlier answers of a server held, by name. */
export type Variables = Map<string, string>

/** An answer as it came. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly text: string
}

const fill = (text: string, variables: Variables): string =>
  text.replace(/\{\{(\w+)\}\}/g, (_, name: string) => variables.get(name) ?? `missing-${name}`)

/** Puts captured values in the place of their names, at any depth. */
export const filled = (value: unknown, variables: Variables): unknown => {
  if (typeof value === "string") return fill(value, variables)
  if (Array.isArray(value)) return value.map((item) => filled(item, variables))
  if (typeof value === "object" && value !== null && !(value instanceof Uint8Array)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, filled(item, variables)]),
    )
  }
  return value
}

const queryOf = (query: Query, variables: Variables): string => {
  const pairs = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) {
    for (const item of typeof value === "object" ? value : [value]) {
      pairs.append(key, fill(String(item), variables))
    }
  }
  const text = pairs.toString()
  return text === "" ? "" : `?${text}`
}

const bodyOf = (asked: Case, variables: Variables): string | Uint8Array | undefined => {
  if (asked.raw !== undefined) {
    return typeof asked.raw === "string" ? fill(asked.raw, variables) : asked.raw
  }
  return asked.body === undefined ? undefined : JSON.stringify(filled(asked.body, variables))
}

/**
 * Sends a case to a server. Not by `fetch`, which tidies paths such as `a/../b` and sends no body
 * with a GET.
 */
export const send = (base: string, asked: Case, variables: Variables): Promise<Answer> => {
  const { hostname, port } = new URL(base)
  const path = asked.path.startsWith("/") ? asked.path : `/api/2.0/mlflow/${asked.path}`
  const body = bodyOf(asked, variables)
  return new Promise((resolve, reject) => {
    const outgoing = request({
      host: hostname,
      port,
      method: asked.method,
      path: fill(path, variables) + queryOf(asked.query ?? {}, variables),
      agent: false,
      headers: {
        ...(body === undefined
          ? {}
          : { "content-type": "application/json", "content-length": Buffer.byteLength(body) }),
        ...asked.headers,
      },
      timeout: 60_000,
    })
    outgoing.on("timeout", () => outgoing.destroy(new Error(`${asked.name}: no answer in 60 s`)))
    outgoing.on("error", reject)
    outgoing.on("response", (incoming) => {
      const chunks: Array<Buffer> = []
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk))
      incoming.on("error", reject)
      incoming.on("end", () => {
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          text: Buffer.concat(chunks).toString("utf8"),
        })
      })
    })
    outgoing.end(body)
  })
}

/** Integers beyond 2^53 stay text, so that they cannot be equal by rounding. */
const exact = (_key: string, value: unknown, { source }: { readonly source?: string }): unknown =>
  typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source ?? "")
    ? `integer ${source}`
    : value

/** The JSON value of an answer, or its text. */
export const valueOf = ({ text }: Answer): unknown => {
  try {
    // The reviver's third argument is missing in TypeScript's declarations.
    const value: unknown = Reflect.apply(JSON.parse, JSON, [text, exact])
    return value
  } catch {
    return text
  }
}

/** Takes what a case names out of an answer. */
export const capture = (asked: Case, answer: Answer, variables: Variables): void => {
  const value = valueOf(answer)
  for (const [name, place] of Object.entries(asked.capture ?? {})) {
    const found = place
      .split(".")
      .reduce<unknown>(
        (at, key) => (typeof at === "object" && at !== null ? Reflect.get(at, key) : undefined),
        value,
      )
    if (typeof found === "string" || typeof found === "number") variables.set(name, String(found))
  }
}
