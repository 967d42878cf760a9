/** A BlobStore in one SQLite file, on Node's own `node:sqlite`: for many small blobs. @module */
import { DatabaseSync } from "node:sqlite"
import { BlobStore as Spi, Digest, Page, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

const { optional } = Schema
const count = (least: number) => optional(Schema.Int.check(Schema.isGreaterThanOrEqualTo(least)))
/** Everything that callers pass, in one schema: each operation decodes the fields it has. */
const Given = Schema.Struct({
  key: Spi.BlobKey.pipe(optional),
  prefix: Schema.String.pipe(optional),
  digest: Digest.Digest.pipe(optional),
  contentType: Schema.String.check(Schema.isPattern(/^[!-~][ -~]{0,254}$/)).pipe(optional),
  ifAbsent: Schema.Boolean.pipe(optional),
  start: count(0),
  end: count(0),
  verify: Schema.Boolean.pipe(optional),
  limit: count(1),
  token: Schema.String.pipe(optional),
})
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

const make = (database: DatabaseSync): Spi.BlobStore["Service"] => {
  database.exec("pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 5000")
  database.exec("create table if not exists blob (key text primary key, info text, content blob)")
  const select = database.prepare("select info, content from blob where key = ?")
  const page = database.prepare(
    "select info from blob where substr(key, 1, length(?1)) = ?1 and key > ?2 order by key limit ?3",
  )
  const insert = database.prepare("insert or ignore into blob values (?, ?, ?)")
  const replace = database.prepare("insert or replace into blob values (?, ?, ?)")
  const remove = database.prepare("delete from blob where key = ?")
  const infoOf = (row: { readonly [column: string]: unknown }): Info =>
    JSON.parse(String(row["info"]))
  const find = (key: string) => {
    const row = select.get(decode({ key }).key ?? "")
    if (row === undefined) throw fail("NotFound", `No blob '${key}': list its prefix.`)
    return row
  }
  return {
    name: "sqlite-example",
    capabilities: { durable: true, presignedUrls: false, multipart: false, conditionalPut: true },
    put: Effect.fnUntraced(function* (key, content, options) {
      const {
        ifAbsent,
        digest: wanted,
        ...rest
      } = yield* attempt(() => decode({ ...options, key }))
      const stream = content instanceof Uint8Array ? Stream.succeed(content) : content
      const bytes = yield* Stream.mkUint8Array(stream)
      return yield* attempt((): Info => {
        const digest = Digest.of(decodeBytes(bytes))
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
        if (start > bytes.length) throw fail("InvalidInput", `start ${start} is past the end.`)
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
    ...{ presign: no, createUpload: no, uploadPart: no, completeUpload: no, abortUpload: no },
  }
}

/** The store in a file. */
export const layer = (options: { readonly file: string }) => {
  const open = attempt(() => new DatabaseSync(options.file))
  const close = (database: DatabaseSync) => Effect.sync(() => database.close())
  return Layer.effect(Spi.BlobStore, Effect.map(Effect.acquireRelease(open, close), make))
}
