import { Digest } from "@ashlar/core"
import * as Memory from "@ashlar/core/memory"
import { Signatures, SignatureVerifier, Signing } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as FastCheck from "fast-check"
import { generateKeyPairSync } from "node:crypto"
import { describe, expect, it } from "vitest"

const pair = (namedCurve: string) =>
  generateKeyPairSync("ec", {
    namedCurve,
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  })
const ada = pair("P-256")
const bob = pair("P-256")
const model = (files: Readonly<Record<string, string>>): Signing.SignedModel => ({
  name: "flights",
  files: Object.entries(files).map(([path, content]) => ({ path, digest: Digest.of(content) })),
})
const flights = model({ "model.onnx": "weights", "data/a.bin": "a", "data.bin": "b" })
const trust = { publicKeys: [bob.publicKey, ada.publicKey] }

const signed = (what = flights, signer: Signing.Signer = ada) =>
  Effect.runPromise(Signing.sign(what, signer))
const verified = (what: Signing.SignedModel, signature: unknown, whom: Signing.Trust = trust) =>
  Effect.runPromise(Signing.verify(what, signature, whom))
const refused = (what: Signing.SignedModel, signature: unknown, whom: Signing.Trust = trust) =>
  Effect.runPromise(Effect.flip(Signing.verify(what, signature, whom)))

describe("a signature", () => {
  it.each(["P-256", "P-384", "P-521"])(
    "holds for the model that was signed, with %s",
    async (curve) => {
      const keys = pair(curve)
      const signature = await signed(flights, keys)
      const whom = { publicKeys: [keys.publicKey] }
      const { name, signer } = await verified(flights, JSON.stringify(signature), whom)
      expect(name).toBe("flights")
      expect(signer).toMatch(/^key sha256:[0-9a-f]{64}$/)
    },
  )

  it("does not hold for other files", async () => {
    const signature = await signed()
    const files = { "model.onnx": "weights", "data/a.bin": "a", "data.bin": "b" }
    expect((await refused(model({ ...files, "data.bin": "c" }), signature)).message).toBe(
      "data.bin is not as it was signed",
    )
    expect((await refused(model({ ...files, "new.bin": "c" }), signature)).message).toBe(
      "new.bin is not signed",
    )
    const { "data.bin": _, ...fewer } = files
    const error = await refused(model(fewer), signature)
    expect(error.message).toBe("data.bin was signed and is missing")
    expect(error.reason).toBe("Corrupt")
  })

  it("does not cover what it was told to ignore", async () => {
    const ignoring = { ...flights, ignored: ["data"] }
    const signature = await signed(ignoring)
    const changed = model({ "model.onnx": "weights", "data/a.bin": "other", "data.bin": "b" })
    expect((await verified(changed, signature)).name).toBe("flights")
  })

  it("of a stranger is not trusted", async () => {
    const error = await refused(flights, await signed(), { publicKeys: [bob.publicKey] })
    expect(error.reason).toBe("PermissionDenied")
    expect((await refused(flights, await signed(), {})).reason).toBe("PermissionDenied")
  })

  it("is refused when one byte of it is another", async () => {
    const signature = await signed()
    const { payload } = signature.dsseEnvelope
    const bytes = Buffer.from(payload, "base64")
    await FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.nat(bytes.length - 1),
        FastCheck.integer({ min: 1, max: 255 }),
        async (at, xor) => {
          const changed = Buffer.from(bytes)
          changed[at] = (changed[at] ?? 0) ^ xor
          const forged = {
            ...signature,
            dsseEnvelope: { ...signature.dsseEnvelope, payload: changed.toString("base64") },
          }
          expect((await refused(flights, forged)).reason).toBe("Corrupt")
        },
      ),
      { numRuns: 50 },
    )
  })

  it.each([
    ["no JSON", "{"],
    ["another JSON", { mediaType: "application/json" }],
    ["nothing", undefined],
    ["a list", []],
  ])("that is %s is told as damage", async (_, signature) => {
    expect((await refused(flights, signature)).reason).toBe("Corrupt")
  })
})

describe("keys", () => {
  it("that are none, or of another kind, are named and never shown", async () => {
    const flip = (signer: Signing.Signer) =>
      Effect.runPromise(Effect.flip(Signing.sign(flights, signer)))
    const none = await flip({ privateKey: "secret text" })
    expect(none.field).toBe("privateKey")
    expect(JSON.stringify(none) + none.message).not.toContain("secret text")
    const rsa = generateKeyPairSync("rsa", {
      modulusLength: 2048,
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
      publicKeyEncoding: { type: "spki", format: "pem" },
    })
    expect((await flip({ privateKey: rsa.privateKey })).message).toContain("elliptic curve")
    const error = await refused(flights, await signed(), { publicKeys: ["no key"] })
    expect(error.field).toBe("publicKeys")
  })

  it("with a passphrase open with it alone", async () => {
    const locked = generateKeyPairSync("ec", {
      namedCurve: "P-256",
      privateKeyEncoding: {
        type: "pkcs8",
        format: "pem",
        cipher: "aes-256-cbc",
        passphrase: "open",
      },
      publicKeyEncoding: { type: "spki", format: "pem" },
    })
    const { privateKey } = locked
    const signature = await signed(flights, { privateKey, passphrase: "open" })
    expect((await verified(flights, signature, { publicKeys: [locked.publicKey] })).name).toBe(
      "flights",
    )
    const error = await Effect.runPromise(
      Effect.flip(Signing.sign(flights, { privateKey, passphrase: "shut" })),
    )
    expect(error.field).toBe("privateKey")
  })
})

describe("signatures of a version", () => {
  const version = {
    name: "flights",
    version: 3,
    digest: Digest.of("content"),
    files: flights.files.map(({ path, digest }) => ({
      path,
      digest: digest as Digest.Digest,
      size: 1,
    })),
  }
  const ask = (whom: Signing.Trust) =>
    Effect.provide(
      SignatureVerifier.SignatureVerifier.use((verifier) => verifier.verify(version)),
      Signatures.verifierLayer(whom),
    )

  it("are kept, and the verifier finds one of somebody trusted", async () => {
    const program = Effect.gen(function* () {
      const before = yield* ask(trust)
      yield* Signatures.sign(version, pair("P-384"))
      const stranger = yield* ask(trust)
      yield* Signatures.sign(version, bob)
      yield* Signatures.sign(version, bob)
      const kept = yield* Signatures.list(version)
      return { before, stranger, kept: kept.length, after: yield* ask(trust) }
    })
    const got = await Effect.runPromise(Effect.provide(program, Memory.layer))
    expect(got).toEqual({
      before: { valid: false, message: "flights has no signature: sign it" },
      stranger: { valid: false, message: expect.stringContaining("is not trusted here") },
      kept: 2,
      after: { valid: true, signer: expect.stringMatching(/^key /), message: expect.any(String) },
    })
  })

  it("that are none are not kept; a trusted key that is none is told", async () => {
    const program = Effect.gen(function* () {
      const none = yield* Effect.flip(Signatures.attach(version, "{}"))
      yield* Signatures.sign(version, ada)
      const key = yield* Effect.flip(ask({ publicKeys: ["no key"] }))
      return [none.reason, key.field]
    })
    const got = await Effect.runPromise(Effect.provide(program, Memory.layer))
    expect(got).toEqual(["Corrupt", "publicKeys"])
  })
})
