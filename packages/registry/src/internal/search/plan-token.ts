import { createHash } from "node:crypto"
import * as Effect from "effect/Effect"
import { invalid, type RegistryError } from "../../RegistryError.ts"

/** Where a page ended: ranks, values and the id of its last run, as its order has them. */
export type Position = ReadonlyArray<string | number | null>

/** What a token is good for. */
export interface Asked {
  readonly experiments: ReadonlyArray<string>
  readonly filter: string
  readonly orderBy: ReadonlyArray<string>
  readonly view: string
}

const digest = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("base64url").slice(0, 12)

const parts = ({ experiments, filter, orderBy, view }: Asked) => [
  digest(experiments.toSorted()),
  digest(filter),
  digest(orderBy),
  view,
]

const what = ["Experiment IDs", "Filter string", "Order by", "Run view type"] as const

/** The token for what comes after a position. JSON has no infinities: they go as text in a list. */
export const encode = (asked: Asked, position: Position): string =>
  Buffer.from(
    JSON.stringify([
      ...parts(asked),
      position.map((value) =>
        typeof value === "number" && !Number.isFinite(value) ? [String(value)] : value,
      ),
    ]),
  ).toString("base64url")

const valueOf = (value: unknown): string | number | null | undefined => {
  if (value === null || typeof value === "string" || typeof value === "number") return value
  if (!Array.isArray(value)) return undefined
  const [text]: ReadonlyArray<unknown> = value
  return text === "Infinity" ? Infinity : text === "-Infinity" ? -Infinity : undefined
}

const refuse = (message: string): Effect.Effect<never, RegistryError> =>
  Effect.fail(invalid("token", message))

/** MLflow's words for a token that is none: the bytes in it, as Python shows them. */
export const undecoded = (token: string): string => {
  const bytes = Array.from(Buffer.from(token, "base64url").subarray(0, 200), (byte) =>
    byte === 0x5c || byte === 0x27
      ? `\\${String.fromCharCode(byte)}`
      : byte >= 0x20 && byte < 0x7f
        ? String.fromCharCode(byte)
        : `\\x${byte.toString(16).padStart(2, "0")}`,
  )
  return `Invalid page token, decoded value=b'${bytes.join("")}'`
}

/** The position in a token. A token of another search is refused, in MLflow's words. */
export const decode = (
  asked: Asked,
  token: string | undefined,
  length: number,
): Effect.Effect<Position | undefined, RegistryError> => {
  if (token === undefined || token === "") return Effect.succeed(undefined)
  const text = Buffer.from(token, "base64url").toString("utf8")
  let read: unknown
  try {
    read = JSON.parse(text)
  } catch {
    return refuse(undecoded(token))
  }
  const values: ReadonlyArray<unknown> = Array.isArray(read) ? read : []
  if (values.length !== what.length + 1 || !Array.isArray(values.at(-1))) {
    return refuse(undecoded(token))
  }
  const expected = parts(asked)
  const wrong = what.findIndex((_, index) => values[index] !== expected[index])
  if (wrong >= 0) {
    const name = what[wrong] ?? "Search"
    return refuse(
      `${name} in the page token ${name === "Experiment IDs" ? "do" : "does"} not match the requested ${name.toLowerCase().replace("ids", "IDs")}: start again without the token, or repeat the search that gave it`,
    )
  }
  const last: unknown = values.at(-1)
  const position = (Array.isArray(last) ? last : []).map(valueOf)
  return position.length !== length || position.some((value) => value === undefined)
    ? refuse(undecoded(token))
    : Effect.succeed(position.map((value) => value ?? null))
}
