/**
 * Port of the gate `signed`: is the signature of a version valid, and whose is it? The application
 * provides it, because it knows which keys to trust.
 *
 * @module
 */
import type { ModelPackage } from "@ashlar/core"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { RegistryError } from "./RegistryError.ts"

/** A version whose signature is asked for. */
export interface SignedVersion {
  readonly name: string
  readonly version: number
  /** Digest of the content: `sha256:<hex>`. */
  readonly digest: string
  /** Every stored file, the signature itself included where it lies in the package. */
  readonly files: ReadonlyArray<ModelPackage.PackageFile>
}

/** What a verifier found. A signature that is missing or wrong is an answer. */
export interface Verification {
  readonly valid: boolean
  /** Who signed: a key id, or an identity of a certificate. */
  readonly signer?: string
  /** What was found, in words. */
  readonly message: string
}

/** Verifies signatures; fails only when it cannot tell. */
export class SignatureVerifier extends Context.Service<
  SignatureVerifier,
  {
    readonly verify: (version: SignedVersion) => Effect.Effect<Verification, RegistryError>
  }
>()("@ashlar/registry/SignatureVerifier/v1") {}
