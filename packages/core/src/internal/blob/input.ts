/**
 * Decodes what callers of a BlobStore pass. Every function throws a `BlobStoreError`.
 *
 * @module
 */
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { BlobKey, BlobStoreError, type GetOptions } from "../../BlobStore.ts"
import { Digest } from "../../Digest.ts"
import { Id } from "../../Id.ts"
import { decodeToken, type PageRequest } from "../../Page.ts"
import { notBytes } from "./failure.ts"

const invalid = (message: string, field: string, cause?: unknown) =>
  new BlobStoreError({
    reason: "InvalidInput",
    message,
    field,
    ...(cause === undefined ? {} : { cause }),
  })

const decoder = <S extends Schema.Codec<unknown, unknown>>(schema: S, field: string) => {
  const decode = Schema.decodeUnknownSync(schema)
  return (value: unknown): S["Type"] => {
    try {
      return decode(value)
    } catch (cause) {
      const detail = cause instanceof Error ? cause.message : String(cause)
      throw invalid(`Invalid ${field}: ${detail}. Correct it and call again.`, field, cause)
    }
  }
}

/** A whole number within bounds. */
const within = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Offset = within(0, Number.MAX_SAFE_INTEGER)
const ContentType = Schema.String.check(
  Schema.isPattern(/^[\x21-\x7e][\x20-\x7e]{0,254}$/, {
    message: "a content type has 1 to 255 printable ASCII characters",
  }),
)

/** A key. */
export const key = decoder(BlobKey, "key")

/** Options of `put` and `createUpload`. */
export const putOptions = decoder(
  Schema.Struct({
    digest: Schema.optional(Digest),
    contentType: Schema.optional(ContentType),
    ifAbsent: Schema.optional(Schema.Boolean),
  }),
  "options",
)

const decodeGet = decoder(
  Schema.Struct({
    start: Schema.optional(Offset),
    end: Schema.optional(Offset),
    verify: Schema.optional(Schema.Boolean),
  }),
  "options",
)

/** Options of `get`. */
export const getOptions = (value: GetOptions | undefined): GetOptions => {
  const { start, end, verify = false } = decodeGet(value ?? {})
  if (start !== undefined && end !== undefined && start > end) {
    throw invalid(
      `Range start ${start} lies after its end ${end}; pass start <= end.`,
      "options.start",
    )
  }
  if (verify && (start !== undefined || end !== undefined)) {
    throw invalid(
      "A range cannot be verified, its digest covers the whole blob; drop start and end, or verify.",
      "options.verify",
    )
  }
  return {
    verify,
    ...(start === undefined ? {} : { start }),
    ...(end === undefined ? {} : { end }),
  }
}

/** First byte and one past the last, within a blob of this size. */
export const range = (
  options: GetOptions,
  size: number,
): { readonly start: number; readonly end: number } => {
  const start = options.start ?? 0
  if (start > size) {
    throw invalid(
      `Range start ${start} lies past the end of the blob, which has ${size} bytes.`,
      "options.start",
    )
  }
  return { start, end: Math.min(options.end ?? size, size) }
}

/** A stream of content, from bytes or a stream of them. */
export const content = (
  value: Uint8Array | Stream.Stream<Uint8Array, BlobStoreError>,
): Stream.Stream<Uint8Array, BlobStoreError> => {
  if (value instanceof Uint8Array) return value.length === 0 ? Stream.empty : Stream.succeed(value)
  if (Stream.isStream(value)) return value
  throw invalid("The content must be a Uint8Array or an Effect Stream of them.", "content")
}

/** Refuses a chunk that is not bytes. */
export const chunk = (value: unknown): Uint8Array => {
  if (value instanceof Uint8Array) return value
  throw notBytes(value)
}

const Prefix = Schema.String.check(
  Schema.makeFilter((prefix: string) =>
    // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
    Buffer.byteLength(prefix) > 1024 || /[\\\u0000-\u001f\u007f]/.test(prefix)
      ? "a prefix has at most 1024 bytes, no backslash and no control characters"
      : undefined,
  ),
)
/** A prefix of keys; may be empty. */
export const prefix = decoder(Prefix, "prefix")

const decodePage = decoder(
  Schema.Struct({
    limit: Schema.optional(within(1, 1000)),
    token: Schema.optional(Schema.String),
  }),
  "page",
)
/** The page's size, and the key after which it starts. */
export const page = (
  value: PageRequest | undefined,
): { readonly limit: number; readonly after: string | undefined } => {
  const { limit = 1000, token } = decodePage(value ?? {})
  if (token === undefined) return { limit, after: undefined }
  const after = decodeToken(token)?.[0]
  if (typeof after !== "string") {
    throw invalid(
      "This page token is malformed; pass the `next` of the previous page, or none.",
      "page.token",
    )
  }
  return { limit, after }
}

/** The id of an upload this library made. */
export const uploadId = decoder(Id, "uploadId")

/** A part's number. */
export const partNumber = decoder(within(1, 10_000), "partNumber")

/** A part's bytes. */
export const partContent = decoder(Schema.Uint8Array, "content")

const decodeParts = decoder(
  Schema.NonEmptyArray(Schema.Struct({ partNumber: within(1, 10_000), etag: Schema.String })),
  "parts",
)
/** The parts of an upload, in rising order. */
export const parts = (value: unknown) => {
  const list = decodeParts(value)
  for (const [index, part] of list.entries()) {
    const previous = list[index - 1]
    if (previous !== undefined && previous.partNumber >= part.partNumber) {
      throw invalid(
        `Part ${part.partNumber} follows part ${previous.partNumber}; list parts once each, in rising order.`,
        `parts[${index}].partNumber`,
      )
    }
  }
  return list
}

/** Options of `presign`. */
export const presign = decoder(
  Schema.Struct({
    method: Schema.Literals(["GET", "PUT"]),
    expiresSeconds: within(1, 604_800),
    part: Schema.optional(
      Schema.Struct({ uploadId: Schema.NonEmptyString, partNumber: within(1, 10_000) }),
    ),
  }).check(
    Schema.makeFilter(({ method, part }) =>
      part === undefined || method === "PUT" ? undefined : "a part is only written",
    ),
  ),
  "options",
)

/** A key as a string of its UTF-8 bytes, whose `<` is UTF-8 order. */
export const utf8Order = (text: string): string => Buffer.from(text, "utf8").toString("latin1")
