/**
 * Signatures of models in the format of OpenSSF model signing v1.0, which its own tool
 * `model_signing` verifies: keys on the curves P-256, P-384 and P-521, or certificates of such keys.
 *
 * @module
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign as signBytes,
  verify as verifyBytes,
  X509Certificate,
} from "node:crypto"
import * as Effect from "effect/Effect"
import {
  type Bundle,
  bundleOf,
  payloadOf,
  read,
  signedBytes,
  type SignedFile,
  statementOf,
} from "./internal/signing/bundle.ts"
import { fromPem, Untrusted, verifiedKey } from "./internal/signing/certificates.ts"
import { invalid, RegistryError } from "./RegistryError.ts"

export type { Bundle, SignedFile } from "./internal/signing/bundle.ts"

/** Who signs. */
export interface Signer {
  /** PEM of an elliptic curve private key. */
  readonly privateKey: string
  /** Of an encrypted key. */
  readonly passphrase?: string
  /** PEM of the key's certificate and those between it and a root; without it, verifiers need the key. */
  readonly certificates?: string
}

/** Whom to trust: any of these public keys, any certificate below one of these roots. */
export interface Trust {
  /** PEM texts of public keys. */
  readonly publicKeys?: ReadonlyArray<string>
  /** PEM texts of root certificates. */
  readonly roots?: ReadonlyArray<string>
}

/** A model to sign or verify: its files with their digests, as a version or package lists them. */
export interface SignedModel {
  readonly name: string
  readonly files: ReadonlyArray<SignedFile>
  /** Paths, and everything below them, that are no part of what is signed. */
  readonly ignored?: ReadonlyArray<string>
}

/** Who signed, once verified. */
export interface Verified {
  /** The subject of the certificate, or `key sha256:<hex>` of the PEM of the public key. */
  readonly signer: string
  /** What the signer called the model. */
  readonly name: string
}

const hashes = new Map([
  ["prime256v1", "sha256"],
  ["secp384r1", "sha384"],
  ["secp521r1", "sha512"],
])

const hashOf = (key: KeyObject, field: string): Effect.Effect<string, RegistryError> => {
  const curve = key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType ?? "unknown"
  const hash = hashes.get(curve)
  return hash === undefined
    ? Effect.fail(
        invalid(
          field,
          `the key is of the kind ${curve}: take an elliptic curve key, P-256 for one`,
        ),
      )
    : Effect.succeed(hash)
}

/** Errors of crypto never carry the key, and neither do these. */
const parsed = <A>(field: string, what: string, parse: () => A): Effect.Effect<A, RegistryError> =>
  Effect.try({ try: parse, catch: () => invalid(field, `${field} is no PEM of ${what}`) })

const fingerprint = (key: KeyObject): string =>
  createHash("sha256")
    .update(key.export({ type: "spki", format: "pem" }))
    .digest("hex")

const isIgnored = (path: string, ignored: ReadonlyArray<string>): boolean =>
  ignored.some((prefix) => path === prefix || path.startsWith(`${prefix}/`))

const covered = (files: ReadonlyArray<SignedFile>, ignored: ReadonlyArray<string>) =>
  files.filter(({ path }) => !isIgnored(path, ignored))

/**
 * Signs a model. The bundle is JSON; written as `model.sig` beside the model, the tool's
 * `model_signing verify key|certificate` reads it.
 *
 * @example
 * ```ts
 * import { generateKeyPairSync } from "node:crypto"
 * import { Digest } from "@ashlar/core"
 * import { Signing } from "@ashlar/registry"
 * import * as Effect from "effect/Effect"
 *
 * const { privateKey, publicKey } = generateKeyPairSync("ec", {
 *   namedCurve: "P-256",
 *   privateKeyEncoding: { type: "pkcs8", format: "pem" },
 *   publicKeyEncoding: { type: "spki", format: "pem" },
 * })
 * const model = { name: "flights", files: [{ path: "model.onnx", digest: Digest.of("weights") }] }
 * const signature = await Effect.runPromise(Signing.sign(model, { privateKey }))
 * const trust = { publicKeys: [publicKey] }
 * const { name } = await Effect.runPromise(Signing.verify(model, signature, trust))
 * name // => "flights"
 * const changed = { name: "flights", files: [{ path: "model.onnx", digest: Digest.of("other") }] }
 * const error = await Effect.runPromise(Effect.flip(Signing.verify(changed, signature, trust)))
 * error.reason // => "Corrupt"
 * ```
 */
export const sign = Effect.fnUntraced(function* (
  model: SignedModel,
  signer: Signer,
): Effect.fn.Return<Bundle, RegistryError> {
  const { name, files, ignored = [] } = model
  const bad = files.find(({ digest }) => !/^sha256:[0-9a-f]{64}$/.test(digest))
  if (bad !== undefined) {
    return yield* invalid(
      "files",
      `${bad.path} has the digest ${bad.digest}: sha256:<hex> is signed`,
    )
  }
  const { passphrase } = signer
  const key = yield* parsed("privateKey", "a private key that the passphrase opens", () =>
    createPrivateKey({
      key: signer.privateKey,
      ...(passphrase === undefined ? {} : { passphrase }),
    }),
  )
  const hash = yield* hashOf(key, "privateKey")
  const publicKey = createPublicKey(key)
  const chain = yield* parsed("certificates", "certificates", () =>
    fromPem(signer.certificates ?? ""),
  )
  if (signer.certificates !== undefined && chain[0]?.checkPrivateKey(key) !== true) {
    return yield* invalid("certificates", "the first certificate is not of the private key")
  }
  const [first, ...others] = chain.map(({ raw }) => ({ rawBytes: raw.toString("base64") }))
  const payload = payloadOf(name, covered(files, ignored), ignored)
  return bundleOf(
    payload,
    signBytes(hash, signedBytes(payload), key),
    first === undefined
      ? { publicKey: { hint: fingerprint(publicKey) } }
      : { x509CertificateChain: { certificates: [first, ...others] } },
  )
})

/** A signature's JSON, checked for its form only, with a short name of the key or certificate it is of. */
export const decode = Effect.fnUntraced(function* (
  signature: unknown,
): Effect.fn.Return<{ readonly bundle: Bundle; readonly key: string }, RegistryError> {
  const bundle = yield* read(signature)
  const { publicKey, x509CertificateChain } = bundle.verificationMaterial
  const material = x509CertificateChain?.certificates[0].rawBytes ?? publicKey?.hint ?? ""
  return { bundle, key: createHash("sha256").update(material).digest("hex") }
})

const untrusted = (message: string) =>
  new RegistryError({ reason: "PermissionDenied", field: "signature", message })

/** The key to check the signature with, and whose it is; it is trusted. */
const trustedKey = Effect.fnUntraced(function* (bundle: Bundle, trust: Trust) {
  const { publicKey, x509CertificateChain } = bundle.verificationMaterial
  if (x509CertificateChain !== undefined) {
    const roots = yield* parsed("roots", "certificates", () => (trust.roots ?? []).flatMap(fromPem))
    return yield* Effect.try({
      try: () => {
        const chain = x509CertificateChain.certificates.map(
          ({ rawBytes }) => new X509Certificate(Buffer.from(rawBytes, "base64")),
        )
        const { key, subject } = verifiedKey(chain, roots)
        return { key, signer: subject.replaceAll("\n", ", ") }
      },
      catch: (cause) =>
        untrusted(cause instanceof Untrusted ? cause.message : "a certificate cannot be read"),
    })
  }
  const hint = publicKey?.hint
  for (const pem of trust.publicKeys ?? []) {
    const key = yield* parsed("publicKeys", "a public key", () => createPublicKey(pem))
    const print = fingerprint(key)
    if (hint === print) return { key, signer: `key sha256:${print}` }
  }
  return yield* untrusted(
    hint === undefined
      ? "the signature does not say whose it is: sign again with a newer tool"
      : `the signature is of the key sha256:${hint.slice(0, 64)}, which is not trusted here`,
  )
})

const difference = (
  stated: ReadonlyArray<SignedFile>,
  found: ReadonlyArray<SignedFile>,
): string | undefined => {
  const digests = new Map(stated.map(({ path, digest }) => [path, digest]))
  for (const { path, digest } of found) {
    const expected = digests.get(path)
    if (expected === undefined) return `${path} is not signed`
    if (expected !== digest) return `${path} is not as it was signed`
    digests.delete(path)
  }
  const [missing] = digests.keys()
  return missing === undefined ? undefined : `${missing} was signed and is missing`
}

/**
 * Verifies a signature of exactly these files. Fails with `PermissionDenied` when nobody trusted
 * signed it, with `Corrupt` when the signature or a file is not as it was signed, with
 * `InvalidInput` for keys that are none.
 */
export const verify = Effect.fnUntraced(function* (
  model: SignedModel,
  signature: unknown,
  trust: Trust,
): Effect.fn.Return<Verified, RegistryError> {
  const bundle = yield* read(signature)
  const { key, signer } = yield* trustedKey(bundle, trust)
  const hash = yield* hashOf(key, "publicKeys")
  const payload = Buffer.from(bundle.dsseEnvelope.payload, "base64")
  const [{ sig }] = bundle.dsseEnvelope.signatures
  if (!verifyBytes(hash, signedBytes(payload), key, Buffer.from(sig, "base64"))) {
    return yield* new RegistryError({
      reason: "Corrupt",
      field: "signature",
      message: `the signature is not one that ${signer} made over this statement`,
    })
  }
  const { name, files, ignored } = yield* statementOf(payload)
  const differs = difference(files, covered(model.files, [...ignored, ...(model.ignored ?? [])]))
  if (differs === undefined) return { signer, name }
  return yield* new RegistryError({ reason: "Corrupt", field: "files", message: differs })
})
