import * as Env from "@ashlar/core/env"
import * as Memory from "@ashlar/core/memory"
import * as Sqlite from "@ashlar/core/sqlite"
import { Webhooks } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { isPublicAddress } from "../src/internal/webhooks/address.ts"
import { post } from "../src/internal/webhooks/post.ts"
import { seal, unseal } from "../src/internal/webhooks/seal.ts"
import { receiver } from "./support/receiver.ts"

const closed =
  `0.0.0.0 10.1.2.3 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 169.254.169.254
  172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.7
  203.0.113.9 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 :: ::1 fe80::1 fe80::1%eth0 fc00::1
  fd00:ec2::254 ff02::1 2001:db8::1 2001::1 2001:10::1 3fff::1 ::ffff:127.0.0.1 ::ffff:7f00:1
  ::ffff:169.254.169.254 ::ffff:a00:1 64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 2002:7f00:1::
  2002:a00:1::1 ::127.0.0.1 64:ff9b:1::1 100::1 4000::1 localhost 127.1 0x7f000001 2130706433
  nonsense`
    .split(/\s+/)
    .concat("")

const open = `1.1.1.1 8.8.8.8 93.184.216.34 100.63.255.255 100.128.0.1 172.15.255.255 172.32.0.1
  192.167.255.255 223.255.255.255 2606:4700:4700::1111 2001:4860:4860::8888 2a00:1450::1
  ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1`.split(/\s+/)

describe("addresses that webhooks may reach", () => {
  it.each(closed)("are not %s", (address) => {
    expect(isPublicAddress(address)).toBe(false)
  })

  it.each(open)("are %s", (address) => {
    expect(isPublicAddress(address)).toBe(true)
  })

  it("are decided alike for an IPv4 address and for IPv6 around it", () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        const expected = isPublicAddress(address)
        expect(isPublicAddress(`::ffff:${address}`)).toBe(expected)
        expect(isPublicAddress(`64:ff9b::${address}`)).toBe(expected)
      }),
      { seed: 7, numRuns: 500 },
    )
  })
})

describe("a name that means a private address", () => {
  const outgoing = (url: string) => ({ id: "i", url, body: "{}", secret: undefined, seconds: 1 })
  const { signal } = new AbortController()

  it("is not connected to, though it meant a public one before", async () => {
    await using target = await receiver()
    const { port } = new URL(target.url)
    for (const host of [
      "rebound.example",
      "127.0.0.1",
      "[::1]",
      "[::ffff:127.0.0.1]",
      "2130706433",
    ]) {
      await expect(
        post(
          outgoing(`http://${host}:${port}/`),
          {
            allowPrivateAddresses: false,
            timeoutMs: 2000,
            resolver: (_, callback) => {
              callback(null, [
                { address: "8.8.8.8", family: 4 },
                { address: "127.0.0.1", family: 4 },
              ])
            },
          },
          signal,
        ),
      ).rejects.toMatchObject({ code: "EADDRFORBIDDEN" })
    }
    expect(target.received).toEqual([])
    const answer = await post(
      outgoing(`http://localhost:${port}/`),
      { allowPrivateAddresses: true, timeoutMs: 2000 },
      signal,
    )
    expect(answer).toMatchObject({ status: 200, body: "thanks" })
  })

  it("is waited for no longer than the time-out, and read no further than is kept", async () => {
    await using target = await receiver(({ path }, response) => {
      if (path === "/flood") {
        const timer = setInterval(() => response.write("x".repeat(1000)), 1)
        response.on("close", () => clearInterval(timer))
      }
    })
    const options = { allowPrivateAddresses: true, timeoutMs: 300 }
    await expect(post(outgoing(`${target.url}/silent`), options, signal)).rejects.toThrow("300 ms")
    const flooded = await post(
      outgoing(`${target.url}/flood`),
      { ...options, timeoutMs: 5000 },
      signal,
    )
    expect(flooded.body).toHaveLength(4096)
  })

  it("is refused when the webhook is made", async () => {
    const base = Layer.mergeAll(
      Sqlite.layer({ file: ":memory:" }),
      Memory.layer,
      Env.layer({ env: {} }),
    )
    const refusals = await Effect.runPromise(
      Effect.gen(function* () {
        const webhooks = yield* Webhooks.Webhooks
        const found: Record<string, string> = {}
        for (const url of [
          "https://127.0.0.1/",
          "https://localhost:8080/x",
          "https://[::1]/",
          "https://2130706433/",
          "https://169.254.169.254/latest/meta-data",
          "http://8.8.8.8/",
          "https:///nothing",
          "https://user:secret@8.8.8.8/",
          "gopher://8.8.8.8/",
          "  ",
          "8.8.8.8",
          `https://8.8.8.8/${"x".repeat(500)}`,
        ]) {
          const error = yield* Effect.flip(
            webhooks.create({ name: "n", url, events: ["prompt.created"] }),
          )
          expect(error).toMatchObject({ reason: "InvalidInput", field: "url" })
          found[url.slice(0, 40)] = error.message.replace(/(?<=localhost.*) ::1\.$/, " 127.0.0.1.")
        }
        yield* webhooks.create({ name: "n", url: "https://8.8.8.8/", events: ["prompt.created"] })
        return found
      }).pipe(Effect.provide(Layer.provide(Webhooks.layer(), base))),
    )
    expect(refusals).toMatchInlineSnapshot(`
      {
        "  ": "Webhook URL cannot be empty or just whitespace: '  '",
        "8.8.8.8": "Invalid webhook URL scheme: ''. Allowed schemes are: https.",
        "gopher://8.8.8.8/": "Invalid webhook URL scheme: 'gopher'. Allowed schemes are: https.",
        "http://8.8.8.8/": "Invalid webhook URL scheme: 'http'. Allowed schemes are: https.",
        "https:///nothing": "Webhook URL must include a hostname: 'https:///nothing'",
        "https://127.0.0.1/": "Webhook URL must not resolve to a non-public IP address. '127.0.0.1' resolves to 127.0.0.1.",
        "https://169.254.169.254/latest/meta-data": "Webhook URL must not resolve to a non-public IP address. '169.254.169.254' resolves to 169.254.169.254.",
        "https://2130706433/": "Webhook URL must not resolve to a non-public IP address. '2130706433' resolves to 127.0.0.1.",
        "https://8.8.8.8/xxxxxxxxxxxxxxxxxxxxxxxx": "Webhook URL has 516 characters: 500 are allowed.",
        "https://[::1]/": "Webhook URL must not resolve to a non-public IP address. '::1' resolves to ::1.",
        "https://localhost:8080/x": "Webhook URL must not resolve to a non-public IP address. 'localhost' resolves to 127.0.0.1.",
        "https://user:secret@8.8.8.8/": "Webhook URL must not include embedded credentials: give the webhook a secret.",
      }
    `)
  })
})

describe("secrets at rest", () => {
  it("open with their key and for their owner only", () => {
    const sealed = seal("key", "one", "späť")
    expect(unseal("key", "one", sealed)).toBe("späť")
    expect(unseal("other", "one", sealed)).toBeUndefined()
    expect(unseal("key", "two", sealed)).toBeUndefined()
    expect(seal("key", "one", "späť")).not.toBe(sealed)
    expect(unseal("key", "one", "")).toBeUndefined()
    for (let at = 0; at < sealed.length; at++) {
      const damaged = `${sealed.slice(0, at)}${sealed[at] === "x" ? "y" : "x"}${sealed.slice(at + 1)}`
      expect(unseal("key", "one", damaged)).not.toBe("something else")
    }
  })
})
