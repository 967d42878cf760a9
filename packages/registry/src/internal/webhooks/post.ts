import { createHmac } from "node:crypto"
import { request as plain } from "node:http"
import { request as secure } from "node:https"
import { isIP } from "node:net"
import { AddressError, isPublicAddress, publicLookup, type Resolver } from "./address.ts"

/** What is sent. */
export interface Outgoing {
  readonly id: string
  readonly url: string
  readonly body: string
  readonly secret: string | undefined
  /** When it is sent, in seconds since 1970. */
  readonly seconds: number
}

/** How it is sent. */
export interface PostOptions {
  readonly allowPrivateAddresses: boolean
  readonly timeoutMs: number
  readonly resolver?: Resolver
}

/** What came back. */
export interface Answer {
  readonly status: number
  /** At most {@link keptBytes} of it. */
  readonly body: string
  readonly retryAfter: string | undefined
}

/** How much of an answer is read. */
export const keptBytes = 4096

/** MLflow's signature: `v1,` and the base64 of HMAC-SHA256 over `id.seconds.body`. */
export const signature = ({ id, seconds, body }: Outgoing, secret: string): string =>
  `v1,${createHmac("sha256", secret).update(`${id}.${seconds}.${body}`).digest("base64")}`

const headersOf = (outgoing: Outgoing) => ({
  "content-type": "application/json",
  "content-length": Buffer.byteLength(outgoing.body),
  "user-agent": "ashlar-registry",
  "X-MLflow-Delivery-Id": outgoing.id,
  "X-MLflow-Timestamp": String(outgoing.seconds),
  ...(outgoing.secret === undefined
    ? {}
    : { "X-MLflow-Signature": signature(outgoing, outgoing.secret) }),
})

/**
 * Sends once: over a connection of its own, to an address that was checked, without following
 * redirects and without a proxy, reading no more of the answer than is kept.
 */
export const post = (
  outgoing: Outgoing,
  { allowPrivateAddresses, timeoutMs, resolver }: PostOptions,
  signal: AbortSignal,
): Promise<Answer> => {
  const url = new URL(outgoing.url)
  const host = url.hostname.replace(/^\[|\]$/g, "")
  // A literal address is connected to without a lookup.
  if (!allowPrivateAddresses && isIP(host) !== 0 && !isPublicAddress(host)) {
    return Promise.reject(new AddressError(host, host))
  }
  const late = AbortSignal.timeout(timeoutMs)
  return new Promise((resolve, reject) => {
    const send = url.protocol === "https:" ? secure : plain
    const outgoingRequest = send(url, {
      method: "POST",
      agent: false,
      headers: headersOf(outgoing),
      signal: AbortSignal.any([signal, late]),
      ...(allowPrivateAddresses ? {} : { lookup: publicLookup(resolver) }),
    })
    outgoingRequest.on("error", (error) => {
      reject(late.aborted ? new Error(`no answer within ${timeoutMs} ms`) : error)
    })
    outgoingRequest.on("response", (response) => {
      const chunks: Array<Buffer> = []
      let size = 0
      const finish = () => {
        resolve({
          status: response.statusCode ?? 0,
          body: Buffer.concat(chunks).subarray(0, keptBytes).toString("utf8"),
          retryAfter: response.headers["retry-after"],
        })
        response.destroy()
      }
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk)
        size += chunk.length
        if (size >= keptBytes) finish()
      })
      response.on("end", finish)
      response.on("error", reject)
    })
    outgoingRequest.end(outgoing.body)
  })
}
