import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { expect, it } from "vitest"
import { BlobStore } from "@ashlar/core"
import * as S3 from "@ashlar/core/s3"

const partBytes = 5 * 1024 * 1024

it.each([10, partBytes])(
  "a put that is interrupted before its first %i bytes came sends nothing",
  async (size) => {
    const requests: Array<string> = []
    const server = createServer((request, response) => {
      requests.push(`${request.method} ${request.url}`)
      request.resume().on("end", () => response.end())
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as AddressInfo
    const asked = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const released = Promise.withResolvers<void>()
    const content = async function* () {
      try {
        asked.resolve()
        await gate.promise
        yield new Uint8Array(size)
      } finally {
        released.resolve()
      }
    }
    const program = Effect.gen(function* () {
      const blobs = yield* BlobStore.BlobStore
      const stream = Stream.fromAsyncIterable(content(), (cause) => cause as Error)
      const fiber = yield* Effect.forkChild(blobs.put("key", Stream.orDie(stream)))
      yield* Effect.promise(() => asked.promise)
      yield* Fiber.interrupt(fiber)
      gate.resolve()
      yield* Effect.promise(() => released.promise)
      // What the put would still send is sent within this.
      yield* Effect.sleep(300)
    })
    const layer = S3.layer({
      bucket: "bucket",
      endpoint: `http://127.0.0.1:${port}`,
      accessKeyId: "id",
      secretAccessKey: Redacted.make("secret"),
      partBytes,
    })
    try {
      await Effect.runPromise(Effect.provide(program, layer))
      expect(requests).toEqual([])
    } finally {
      server.closeAllConnections()
      server.close()
    }
  },
)
