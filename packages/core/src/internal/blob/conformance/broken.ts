/**
 * BlobStores with a known mistake, which the suite must reject.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { BlobStore, BlobStoreError } from "../../../BlobStore.ts"
import * as Memory from "../../../memory.ts"
import type { Broken } from "../../../testing/Conformance.ts"

type Service = BlobStore["Service"]

const layerOf = (change: (inner: Service) => Partial<Service>) =>
  Layer.effect(
    BlobStore,
    Effect.map(BlobStore, (inner) => ({ ...inner, ...change(inner) })),
  ).pipe(Layer.provide(Memory.layer))

const isKey = (key: string) => key !== "" && !key.startsWith("/") && !key.includes("..")

/** Each with the cases that must not pass on it. */
export const broken: ReadonlyArray<Broken<BlobStore>> = [
  {
    name: "loses the last byte",
    mustFail: [
      "gives back the bytes it was given",
      "stores a stream of uneven chunks",
      "replaces a blob",
      "joins parts in order",
      "keeps keys of every kind apart",
      "many blobs at once",
    ],
    layer: layerOf((inner) => ({
      get: (key, options) =>
        inner.get(key, options).pipe(Stream.map((chunk) => chunk.subarray(0, -1))),
    })),
  },
  {
    name: "ignores ranges",
    mustFail: ["reads ranges"],
    layer: layerOf((inner) => ({ get: (key) => inner.get(key) })),
  },
  {
    name: "ignores what a put asks for",
    mustFail: [
      "refuses content that is not what its digest says",
      "of many writers with ifAbsent one wins",
      "refuses wrong options and content",
    ],
    layer: layerOf((inner) => ({ put: (key, content) => inner.put(key, content) })),
  },
  {
    name: "finds damage everywhere",
    mustFail: ["verifies on request"],
    layer: layerOf((inner) => ({
      get: (key, options) =>
        options?.verify === true
          ? Stream.fail(new BlobStoreError({ reason: "Corrupt", message: "damaged" }))
          : inner.get(key, options),
    })),
  },
  {
    name: "finds empty blobs under absent keys",
    mustFail: ["says when there is nothing under a key"],
    layer: layerOf((inner) => ({
      get: (key, options) =>
        Stream.catchTag(inner.get(key, options), "BlobStoreError", () => Stream.empty),
    })),
  },
  {
    name: "takes any key",
    mustFail: ["refuses keys that are no keys"],
    layer: layerOf((inner) => ({
      remove: (key) => (isKey(key) ? inner.remove(key) : Effect.void),
    })),
  },
  {
    name: "folds case",
    mustFail: ["keeps keys of every kind apart", "lists in UTF-8 order, page by page"],
    layer: layerOf((inner) => ({
      put: (key, content, options) => inner.put(key.toLowerCase(), content, options),
      get: (key, options) => inner.get(key.toLowerCase(), options),
    })),
  },
  {
    name: "lists whole directories only, and takes any page",
    mustFail: ["lists by any prefix", "refuses pages that are no pages"],
    layer: layerOf((inner) => ({
      list: (prefix) => inner.list(prefix.slice(0, prefix.lastIndexOf("/") + 1)),
    })),
  },
  {
    name: "stores what came before a fault",
    mustFail: ["a stream that fails stores nothing", "an interrupted put stores nothing"],
    layer: layerOf((inner) => ({
      put: (key, content, options) =>
        Stream.isStream(content)
          ? Effect.andThen(
              inner.put(
                key,
                content.pipe(
                  Stream.take(1),
                  Stream.orElseSucceed(() => new Uint8Array()),
                ),
                options,
              ),
              inner.put(key, content, options),
            )
          : inner.put(key, content, options),
    })),
  },
  {
    name: "reads chunk by chunk from whatever is there",
    mustFail: ["a blob is visible whole or not at all"],
    layer: layerOf((inner) => ({
      get: (key) =>
        Stream.concat(
          inner.get(key, { end: 600_000 }),
          Stream.unwrap(Effect.as(Effect.sleep(5), inner.get(key, { start: 600_000 }))),
        ),
      put: (key, content, options) => Effect.delay(inner.put(key, content, options), 2),
    })),
  },
  {
    name: "knows no part from another",
    mustFail: ["refuses wrong parts", "joins parts in order", "an aborted upload is gone"],
    layer: layerOf((inner) => {
      const stored: Array<Uint8Array> = []
      return {
        uploadPart: (_key, _uploadId, partNumber, content) =>
          Effect.sync(() => {
            stored.push(content)
            return { partNumber, etag: "etag" }
          }),
        completeUpload: (key) => inner.put(key, new Uint8Array(Buffer.concat(stored))),
      }
    }),
  },
  {
    name: "presigns what nobody serves",
    mustFail: ["presigned URLs read and write"],
    layer: layerOf((inner) => ({
      capabilities: { ...inner.capabilities, presignedUrls: true },
      presign: () => Effect.succeed("http://127.0.0.1:1/nobody"),
    })),
  },
]
