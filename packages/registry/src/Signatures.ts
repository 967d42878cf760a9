/**
 * Signatures of registered versions: kept beside the models in the blob store, and the port
 * `SignatureVerifier` that a policy's gate `signed` asks.
 *
 * @module
 */
import { BlobStore } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { fromBackend, RegistryError } from "./RegistryError.ts"
import { type SignedVersion, SignatureVerifier, type Verification } from "./SignatureVerifier.ts"
import * as Signing from "./Signing.ts"

/** The part of a version that is signed. */
export type Version = Pick<SignedVersion, "name" | "digest" | "files">

const most = 4 * 2 ** 20

/** Signatures of equal content are kept together, whatever the model is called. */
const prefixOf = ({ digest }: Version): string => `signatures/${digest.replace(":", "/")}/`

const modelOf = ({ name, files }: Version): Signing.SignedModel => ({
  name,
  files: files.map(({ path, digest }) => ({ path, digest })),
})

/**
 * Signs a version and keeps the signature. A signer's later signature of the same content takes the
 * place of the earlier one.
 */
export const sign = Effect.fnUntraced(function* (
  version: Version,
  signer: Signing.Signer,
): Effect.fn.Return<Signing.Bundle, RegistryError, BlobStore.BlobStore> {
  const bundle = yield* Signing.sign(modelOf(version), signer)
  yield* attach(version, bundle)
  return bundle
})

/** Keeps a signature made elsewhere, such as by the tool `model_signing`; it is not judged here. */
export const attach = Effect.fnUntraced(function* (
  version: Version,
  signature: unknown,
): Effect.fn.Return<void, RegistryError, BlobStore.BlobStore> {
  const blobs = yield* BlobStore.BlobStore
  const { bundle, key } = yield* Signing.decode(signature)
  const bytes = Buffer.from(JSON.stringify(bundle))
  yield* Effect.mapError(
    blobs.put(`${prefixOf(version)}${key}.json`, bytes, { contentType: bundle.mediaType }),
    fromBackend,
  )
})

const read = (blobs: BlobStore.BlobStore["Service"], key: string) =>
  Stream.runFold(
    blobs.get(key, { verify: true }),
    () => new Array<Uint8Array>(),
    (chunks, chunk) => [...chunks, chunk],
  ).pipe(
    Effect.map((chunks) => Buffer.concat(chunks).toString("utf8")),
    Effect.mapError(fromBackend),
  )

/** All signatures kept of a version's content, whoever made them. */
export const list = Effect.fnUntraced(function* (
  version: Version,
): Effect.fn.Return<ReadonlyArray<string>, RegistryError, BlobStore.BlobStore> {
  const blobs = yield* BlobStore.BlobStore
  const { items } = yield* Effect.mapError(
    blobs.list(prefixOf(version), { limit: 100 }),
    fromBackend,
  )
  return yield* Effect.forEach(
    items.filter(({ size }) => size <= most),
    ({ key }) => read(blobs, key),
  )
})

/** Whether anybody trusted signed the version, and who; of several, the first that holds. */
export const verify = Effect.fnUntraced(function* (
  version: Version,
  trust: Signing.Trust,
): Effect.fn.Return<Verification, RegistryError, BlobStore.BlobStore> {
  const signatures = yield* list(version)
  let why = `${version.name} has no signature: sign it`
  for (const signature of signatures) {
    const found = yield* Effect.result(Signing.verify(modelOf(version), signature, trust))
    if (found._tag === "Success") {
      const { signer } = found.success
      return { valid: true, signer, message: `signed by ${signer}` }
    }
    // A wrong trusted key is the application's mistake, not the signature's.
    if (found.failure.reason === "InvalidInput") return yield* found.failure
    why = found.failure.message
  }
  return { valid: false, message: why }
})

/** The port `SignatureVerifier` that trusts these keys and roots. */
export const verifierLayer = (
  trust: Signing.Trust,
): Layer.Layer<SignatureVerifier, never, BlobStore.BlobStore> =>
  Layer.effect(
    SignatureVerifier,
    Effect.map(BlobStore.BlobStore, (blobs) =>
      SignatureVerifier.of({
        verify: (version) =>
          Effect.provideService(verify(version, trust), BlobStore.BlobStore, blobs),
      }),
    ),
  )
