/**
 * Pages of a list, walked by opaque keyset tokens.
 *
 * @module
 */

/** One page; `next` is absent on the last one. */
export interface Page<A> {
  readonly items: ReadonlyArray<A>
  readonly next?: string
}

/** Asks for a page: at most `limit` items after the token's position. */
export interface PageRequest {
  readonly limit?: number
  readonly token?: string
}

/** An opaque token for a keyset position. */
export const encodeToken = (position: ReadonlyArray<string | number | null>): string =>
  Buffer.from(JSON.stringify(position)).toString("base64url")

/** The position in a token; `undefined` when the token is malformed. */
export const decodeToken = (token: string): ReadonlyArray<string | number | null> | undefined => {
  try {
    const value: unknown = JSON.parse(Buffer.from(token, "base64url").toString("utf8"))
    const isPosition =
      Array.isArray(value) &&
      value.length <= 16 &&
      value.every((v) => v === null || typeof v === "string" || typeof v === "number")
    return isPosition ? value : undefined
  } catch {
    return undefined
  }
}
