/**
 * Cases of the BlobStore suite: keys, lists and what is refused.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { BlobStore, type BlobStoreError } from "../../../BlobStore.ts"
import { ensure, equal, fails } from "../../../testing/Conformance.ts"
import { type BlobCase, bytes, read, scratch } from "./scratch.ts"

const refused = [
  "",
  "/a",
  "a/",
  "a//b",
  "../a",
  "a/../../b",
  ".",
  "a/./b",
  "a\\b",
  "a\0b",
  "a\nb",
  "\ud800",
  "k".repeat(1025),
]

const diverse = [
  "a",
  "a/b",
  "a/b/c",
  "A",
  "A/b",
  "con",
  "nul.txt",
  "dot.",
  "space end ",
  "%41",
  "@a",
  "a+",
  "%",
  "..a",
  "a:b*c?",
  "caf\u00e9",
  "cafe\u0301",
  "\u65e5\u672c\u8a9e/\u{1f600}",
  "x".repeat(80),
  `${"x".repeat(80)}/y`,
  `${"x".repeat(80)}-y`,
  "\u00fc".repeat(200),
]

const utf8 = (keys: ReadonlyArray<string>) =>
  keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))

/** Every page of a list. */
const pages = Effect.fnUntraced(function* (
  blobs: BlobStore["Service"],
  prefix: string,
  limit: number,
): Effect.fn.Return<ReadonlyArray<ReadonlyArray<string>>, BlobStoreError> {
  const all: Array<ReadonlyArray<string>> = []
  let token: string | undefined
  do {
    const page = yield* blobs.list(prefix, { limit, ...(token === undefined ? {} : { token }) })
    all.push(page.items.map(({ key }) => key.slice(prefix.length)))
    token = page.next
  } while (token !== undefined && all.length < 100)
  return all
})

/** Cases about keys. */
export const keys: ReadonlyArray<BlobCase> = [
  {
    name: "refuses keys that are no keys",
    run: BlobStore.use((blobs) =>
      Effect.forEach(refused, (key) =>
        Effect.gen(function* () {
          yield* fails(blobs.put(key, bytes(1)), "InvalidInput")
          yield* fails(blobs.head(key), "InvalidInput")
          yield* fails(read(blobs, key), "InvalidInput")
          yield* fails(blobs.remove(key), "InvalidInput")
        }),
      ),
    ),
  },
  {
    name: "refuses wrong options and content",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        const key = `${prefix}options`
        yield* fails(blobs.put(key, bytes(1), { contentType: "a\r\nb: c" }), "InvalidInput")
        yield* fails(blobs.put(key, bytes(1), { digest: "md5:1" }), "InvalidInput")
        const text: unknown = "text"
        yield* fails(blobs.put(key, text as Uint8Array), "InvalidInput")
        yield* fails(blobs.put(key, Stream.succeed(text as Uint8Array)), "InvalidInput")
        yield* fails(blobs.head(key), "NotFound")
      }),
    ),
  },
  {
    name: "keeps keys of every kind apart",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        for (const key of diverse) yield* blobs.put(prefix + key, Buffer.from(key))
        for (const key of diverse) {
          yield* equal((yield* read(blobs, prefix + key)).toString(), key, `the blob '${key}'`)
        }
        yield* equal((yield* pages(blobs, prefix, 1000)).flat(), utf8(diverse), "the list")
        yield* blobs.remove(`${prefix}a`)
        yield* equal((yield* read(blobs, `${prefix}a/b`)).toString(), "a/b", "a/b without a")
      }),
    ),
  },
  {
    name: "lists in UTF-8 order, page by page",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        // UTF-16 would put the emoji before the full-width sign.
        const given = ["b", "a/b", "a-b", "a0", "a", "Z", "\u00e9", "\uffe0", "\u{1f600}", "a/b/c"]
        for (const key of given) yield* blobs.put(prefix + key, bytes(key.length))
        for (const limit of [1, 3, 10, 1000]) {
          const all = yield* pages(blobs, prefix, limit)
          yield* equal(all.flat(), utf8(given), `the list by ${limit}`)
          yield* ensure(
            all.every((page) => page.length <= limit),
            `a page has more than ${limit}`,
          )
        }
        const { items } = yield* blobs.list(`${prefix}a/b/`)
        yield* equal(
          items.map(({ size }) => size),
          [5],
          "sizes",
        )
      }),
    ),
  },
  {
    name: "lists by any prefix",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        for (const key of ["run/1", "run/10", "runs", "other", "run/2/x"]) {
          yield* blobs.put(prefix + key, bytes(1))
        }
        const under = (part: string) =>
          Effect.map(blobs.list(prefix + part), ({ items }) =>
            items.map(({ key }) => key.slice(prefix.length)),
          )
        yield* equal(yield* under("run/1"), ["run/1", "run/10"], "run/1")
        yield* equal(yield* under("run"), ["run/1", "run/10", "run/2/x", "runs"], "run")
        yield* equal(yield* under("run/2/"), ["run/2/x"], "run/2/")
        yield* equal(yield* under("none"), [], "none")
      }),
    ),
  },
  {
    name: "refuses pages that are no pages",
    run: BlobStore.use((blobs) =>
      Effect.gen(function* () {
        yield* fails(blobs.list("", { limit: 0 }), "InvalidInput")
        yield* fails(blobs.list("", { limit: 1001 }), "InvalidInput")
        yield* fails(blobs.list("", { token: "no token" }), "InvalidInput")
        yield* fails(blobs.list("a\0"), "InvalidInput")
      }),
    ),
  },
]
