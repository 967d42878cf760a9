/**
 * Options of the S3 backend.
 *
 * @module
 */
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { BlobStoreError } from "../../BlobStore.ts"

/** How the bucket is reached. */
export interface S3Options {
  readonly bucket: string
  /** Default: what the AWS SDK finds in its environment and files, or `us-east-1`. */
  readonly region?: string
  /** URL of a server other than Amazon's. */
  readonly endpoint?: string
  /** `endpoint/bucket/key` instead of `bucket.endpoint/key`; default true with an endpoint. */
  readonly pathStyle?: boolean
  /** Default: what the AWS SDK finds in its environment and files. */
  readonly accessKeyId?: string
  readonly secretAccessKey?: Redacted.Redacted<string>
  /** Put before every key, e.g. `team-a/`. */
  readonly prefix?: string
  /** Bytes of a part when a stream is uploaded, 5 MiB or more; default 8 MiB. Two are in memory. */
  readonly partBytes?: number
  /** Whether the server honours `If-None-Match: *`; default true. */
  readonly conditionalPut?: boolean
}

const minimumPart = 5 * 1024 * 1024

/** Schema of the options, decoded. */
export const Options = Schema.Struct({
  bucket: Schema.String.check(
    Schema.isPattern(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, {
      message: "a bucket has 3 to 63 lower-case letters, digits, '.' or '-'",
    }),
  ),
  region: Schema.optional(Schema.NonEmptyString),
  endpoint: Schema.optional(
    Schema.String.check(
      Schema.isPattern(/^https?:\/\/[^\s]+$/, { message: "an endpoint is an http or https URL" }),
    ),
  ),
  pathStyle: Schema.optional(Schema.Boolean),
  accessKeyId: Schema.optional(Schema.NonEmptyString),
  secretAccessKey: Schema.optional(Schema.Redacted(Schema.NonEmptyString)),
  prefix: Schema.optional(Schema.String),
  partBytes: Schema.optional(Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimumPart))),
  conditionalPut: Schema.optional(Schema.Boolean),
})

const decodeUnknown = Schema.decodeUnknownSync(Schema.toType(Options))

/** Checks the options; throws a `BlobStoreError`. */
export const decode = (options: S3Options): typeof Options.Type => {
  try {
    return decodeUnknown(options)
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause)
    throw new BlobStoreError({
      reason: "InvalidInput",
      message: `Invalid S3 options: ${detail}. Correct them.`,
      cause,
    })
  }
}

/** The id of an upload, which is the server's own. */
export const uploadIdOf = (value: unknown): string => {
  if (typeof value === "string" && value !== "" && value.length <= 2048) return value
  throw new BlobStoreError({
    reason: "InvalidInput",
    message: "An upload's id is the string that createUpload returned; pass that.",
    field: "uploadId",
  })
}
