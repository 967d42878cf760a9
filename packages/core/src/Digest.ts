/**
 * Content digests: `sha256:<hex>` over canonical bytes.
 *
 * @module
 */
import { createHash, type Hash } from "node:crypto"
import * as Schema from "effect/Schema"

/** Schema of a digest, `sha256:` and 64 lower-case hexadecimal digits. */
export const Digest = Schema.String.check(
  Schema.isPattern(/^sha256:[0-9a-f]{64}$/, {
    message: "a digest is 'sha256:' and 64 lower-case hexadecimal digits",
  }),
)

/** A digest, `sha256:<hex>`. */
export type Digest = typeof Digest.Type

/** Starts an incremental digest; finish it with {@link finish}. */
export const start = (): Hash => createHash("sha256")

/** The digest of everything fed to the hash. */
export const finish = (hash: Hash): Digest => `sha256:${hash.digest("hex")}`

/**
 * Digest of bytes, or of a string's UTF-8 bytes.
 *
 * @example
 * ```ts
 * import { Digest } from "@ashlar/core"
 *
 * Digest.of("").slice(0, 19) // => "sha256:e3b0c44298fc"
 * ```
 */
export const of = (bytes: Uint8Array | string): Digest => finish(start().update(bytes))

/** Digest of a JSON value in canonical form (RFC 8785), so that key order does not matter. */
export const ofJson = (value: unknown): Digest => of(canonicalJson(value))

/**
 * JSON in the canonical form of RFC 8785: sorted keys, no white space, `undefined` members left
 * out, and `toJSON` asked where there is one (a `Date`). Throws a `TypeError` for values JSON cannot
 * carry (NaN, infinities, functions, bigint, maps, sets, typed arrays).
 */
export const canonicalJson = (value: unknown): string => {
  if (value === null || typeof value === "boolean" || typeof value === "string") {
    return JSON.stringify(value)
  }
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new TypeError(`canonical JSON cannot carry ${value}`)
    return JSON.stringify(value)
  }
  if (Array.isArray(value)) {
    return `[${value.map((item) => canonicalJson(item === undefined ? null : item)).join(",")}]`
  }
  if (typeof value === "object") {
    if ("toJSON" in value && typeof value.toJSON === "function")
      return canonicalJson(value.toJSON())
    // Their content is no member: all of them would have one digest.
    if (value instanceof Map || value instanceof Set || ArrayBuffer.isView(value)) {
      throw new TypeError(`canonical JSON cannot carry a ${value.constructor.name}`)
    }
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`)
    return `{${members.join(",")}}`
  }
  throw new TypeError(`canonical JSON cannot carry a ${typeof value}`)
}
