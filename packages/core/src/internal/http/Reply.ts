import type * as Stream from "effect/Stream"

/** An answer that is more than JSON with the route's status. */
export class Reply {
  /** Default: the route's. */
  readonly status: number | undefined
  readonly headers: Readonly<Record<string, string>>
  /** Text, bytes, a stream of bytes, or JSON. */
  readonly body: unknown

  constructor(
    body: unknown,
    options: {
      readonly status?: number
      readonly headers?: Readonly<Record<string, string>>
    } = {},
  ) {
    this.body = body
    this.status = options.status
    this.headers = options.headers ?? {}
  }
}

/**
 * An answer with its own status and headers: text, bytes or a stream as they are, anything else as
 * JSON. A stream stops when the client goes away.
 */
export const reply = (
  body: string | Uint8Array | Stream.Stream<Uint8Array, unknown> | object | undefined,
  options?: {
    readonly status?: number
    readonly headers?: Readonly<Record<string, string>>
  },
): Reply => new Reply(body, options)
