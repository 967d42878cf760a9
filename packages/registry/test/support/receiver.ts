import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http"
import { once } from "node:events"

/** A request that a receiver got. */
export interface Received {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A real HTTP server that remembers what it was sent. */
export interface Receiver extends AsyncDisposable {
  readonly url: string
  readonly received: ReadonlyArray<Received>
  /** Waits until this many requests came to a path. */
  readonly until: (count: number, path?: string) => Promise<ReadonlyArray<Received>>
}

/** Starts a receiver on loopback. `answer` gets each request; without it every answer is 200. */
export const receiver = async (
  answer: (request: Received, response: ServerResponse) => void = (_, response) => {
    response.end("thanks")
  },
): Promise<Receiver> => {
  const received: Array<Received> = []
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const got = {
        path: request.url ?? "",
        headers: request.headers,
        body: Buffer.concat(chunks).toString("utf8"),
      }
      received.push(got)
      answer(got, response)
      server.emit("got")
    })
  })
  server.setMaxListeners(100)
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const at = (path: string | undefined) =>
    received.filter((got) => path === undefined || got.path === path)
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    until: async (count, path) => {
      while (at(path).length < count) {
        await once(server, "got", { signal: AbortSignal.timeout(30_000) })
      }
      return at(path)
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => {
        server.close(resolve)
      })
    },
  }
}
