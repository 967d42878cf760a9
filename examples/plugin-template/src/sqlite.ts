/** A BlobStore in one SQLite file, on Node's own `node:sqlite`: for many small blobs. @module */
import { DatabaseSync } from "node:sqlite"
import { BlobStore as Spi, Digest, Page, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

const { optional } = Schema
const whole = (minimum: number, maximum: number) =>
  optional(Schema.Int.check(Schema.isBetween({ minimum, maximum })))
const text = (pattern: RegExp) => optional(Schema.String.check(Schema.isPattern(pattern)))
const [flag, offset] = [optional(Schema.Boolean), whole(0, Number.MAX_SAFE_INTEGER)]
const printable = text(/^[!-~][ -~]*$/)
const Put = { digest: optional(Digest.Digest), contentType: printable, ifAbsent: flag }
const Get = { start: offset, end: offset, verify: flag }
const List = { prefix: text(/^[^\\\p{Cc}]*$/u), limit: whole(1, 1000), token: text(/./) }
/** Everything that callers pass, in one schema: each operation decodes the fields it has. */
const Given = Schema.Struct({ key: optional(Spi.BlobKey), ...Put, ...Get, ...List })
const decode = Schema.decodeUnknownSync(Given)
const decodeBytes = Schema.decodeUnknownSync(Schema.Uint8Array)
type Info = Spi.BlobInfo & { readonly digest: Digest.Digest }

const fail = (reason: Spi.BlobStoreError["reason"], message: string) =>
  new Spi.BlobStoreError({ reason, message })
const toFailure = (cause: unknown) =>
  cause instanceof Spi.BlobStoreError
    ? cause
    : fail(Schema.isSchemaError(cause) ? "InvalidInput" : "Internal", String(cause))
const attempt = <A>(run: () => A) => Effect.try({ try: run, catch: toFailure })
const no = () => Effect.fail(fail("NotSupported", "No URLs, no uploads in parts: use put."))
const uploads = { createUpload: no, uploadPart: no, completeUpload: no, abortUpload: no }

const make = (database: DatabaseSync): Spi.BlobStore["Service"] => {
  database.exec("pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 5000")
  database.exec("create table if not exists blob (key text primary key, info text, content blob)")
  const select = database.prepare("select info, content from blob where key = ?")
  const page = database.prepare(
    "select info from blob where instr(key, ?1) = 1 and key > ?2 order by key limit ?3",
  )
  const insert = database.prepare("insert or ignore into blob values (?, ?, ?)")
  const replace = database.prepare("insert or replace into blob values (?, ?, ?)")
  const remove = database.prepare("delete from blob where key = ?")
  const infoOf = (row: Record<string, unknown>): Info => JSON.parse(String(row["info"]))
  const find = (key: string) => {
    const row = select.get(decode({ key }).key ?? "")
    if (row === undefined) throw fail("NotFound", `No blob '${key}': list its prefix.`)
    return row
  }
  return {
    name: "sqlite-example",
    capabilities: { durable: true, presignedUrls: false, multipart: false, conditionalPut: true },
    put: Effect.fnUntraced(function* (key, content, options) {
      const given = yield* attempt(() => decode({ ...options, key }))
      const { ifAbsent, digest: wanted, ...rest } = given
      const stream = Stream.isStream(content) ? content : Stream.succeed(content)
      const chunks = yield* Stream.runCollect(stream)
      return yield* attempt((): Info => {
        const bytes = Buffer.concat(chunks.map((chunk) => decodeBytes(chunk)))
        const digest = Digest.of(bytes)
        if (wanted !== undefined && wanted !== digest)
          throw fail("PreconditionFailed", `'${key}' has digest ${digest}: send what was digested.`)
        const info = { ...rest, key, size: bytes.length, modified: Timestamp.now(), digest } as Info
        const write = ifAbsent === true ? insert : replace
        if (write.run(key, JSON.stringify(info), bytes).changes > 0) return info
        throw fail("AlreadyExists", `'${key}' is taken: choose another key.`)
      })
    }),
    get: (key, options) => {
      const read = attempt(() => {
        const { start = 0, end, verify } = decode(options ?? {})
        const row = find(key)
        const bytes = decodeBytes(row["content"])
        if (start > Math.min(bytes.length, end ?? start) || (verify && (start > 0 || end)))
          throw fail("InvalidInput", "A range lies in the blob; drop it to verify.")
        if (verify !== true || Digest.of(bytes) === infoOf(row).digest)
          return bytes.subarray(start, end)
        throw fail("Corrupt", `'${key}' is damaged: write it again.`)
      })
      return Stream.fromEffect(read)
    },
    head: (key) => attempt(() => infoOf(find(key))),
    remove: (key) => attempt(() => void remove.run(decode({ key }).key ?? "")),
    list: (prefix, request) =>
      attempt(() => {
        const { limit = 1000, token } = decode({ ...request, prefix })
        const after = token === undefined ? "" : Page.decodeToken(token)?.[0]
        if (typeof after !== "string") throw fail("InvalidInput", "Pass the last page's next.")
        const items = page.all(prefix, after, limit + 1).map(infoOf)
        const last = items.length > limit ? items[limit - 1] : undefined
        if (last === undefined) return { items }
        return { items: items.slice(0, limit), next: Page.encodeToken([last.key]) }
      }),
    presign: no,
    ...uploads,
  }
}

/** The store in a file. */
export const layer = (options: { readonly file: string }) => {
  const open = attempt(() => new DatabaseSync(options.file))
  const close = (database: DatabaseSync) => Effect.sync(() => database.close())
  return Layer.effect(Spi.BlobStore, Effect.map(Effect.acquireRelease(open, close), make))
}
