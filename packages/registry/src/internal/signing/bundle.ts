/**
 * The Sigstore bundle that OpenSSF model signing writes: an in-toto statement about a model's
 * files in a DSSE envelope. https://github.com/sigstore/model-transparency (v1.0 predicate),
 * https://github.com/secure-systems-lab/dsse
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid, RegistryError } from "../../RegistryError.ts"

const mediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
const payloadType = "application/vnd.in-toto+json"
const statementType = "https://in-toto.io/Statement/v1"
const predicateType = "https://model_signing/signature/v1.0"

/** A signed file: its path below the model and its digest, `<hash>:<hex>`. */
export interface SignedFile {
  readonly path: string
  readonly digest: string
}

const Base64 = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9+/]*={0,2}$/))
const Hex = Schema.String.check(Schema.isPattern(/^([0-9a-f]{2})+$/))

const Certificate = Schema.Struct({ rawBytes: Base64 })

/** Schema of a bundle, with a key's hint or with a chain of certificates. */
export const Bundle = Schema.Struct({
  mediaType: Schema.Literal(mediaType),
  verificationMaterial: Schema.Struct({
    publicKey: Schema.optionalKey(Schema.Struct({ hint: Schema.optionalKey(Schema.String) })),
    x509CertificateChain: Schema.optionalKey(
      Schema.Struct({ certificates: Schema.NonEmptyArray(Certificate) }),
    ),
    /** Transparency log entries; a key or certificate has none, and readers want the list. */
    tlogEntries: Schema.optionalKey(Schema.Array(Schema.Json)),
  }),
  dsseEnvelope: Schema.Struct({
    payload: Base64,
    payloadType: Schema.Literal(payloadType),
    signatures: Schema.NonEmptyArray(
      Schema.Struct({ sig: Base64, keyid: Schema.optionalKey(Schema.String) }),
    ),
  }),
})

/** A signature of a model, as JSON. */
export type Bundle = typeof Bundle.Type

const Statement = Schema.Struct({
  _type: Schema.Literal(statementType),
  subject: Schema.Tuple([
    Schema.Struct({ name: Schema.String, digest: Schema.Struct({ sha256: Hex }) }),
  ]),
  predicateType: Schema.Literal(predicateType),
  predicate: Schema.Struct({
    serialization: Schema.Struct({
      method: Schema.String,
      hash_type: Schema.String,
      ignore_paths: Schema.optionalKey(Schema.Array(Schema.String)),
    }),
    resources: Schema.Array(
      Schema.Struct({ name: Schema.NonEmptyString, algorithm: Schema.String, digest: Hex }),
    ),
  }),
})

/** What a statement says. */
export interface Statement {
  readonly name: string
  readonly files: ReadonlyArray<SignedFile>
  /** Paths that the signature does not cover. */
  readonly ignored: ReadonlyArray<string>
}

const longest = 64 * 2 ** 20
const decodeBundle = Schema.decodeUnknownEffect(Bundle)
const decodeStatement = Schema.decodeUnknownEffect(Statement)

const corrupt = (message: string, cause?: unknown) =>
  new RegistryError({
    reason: "Corrupt",
    field: "signature",
    message,
    ...(cause === undefined ? {} : { cause }),
  })

/** Reads a bundle from its JSON text or value. */
export const read = (signature: unknown): Effect.Effect<Bundle, RegistryError> => {
  let value = signature
  if (typeof signature === "string") {
    if (signature.length > longest) {
      return Effect.fail(invalid("signature", `the signature is longer than ${longest} bytes`))
    }
    try {
      value = JSON.parse(signature)
    } catch (cause) {
      return Effect.fail(corrupt("the signature is no JSON: it was cut or is another file", cause))
    }
  }
  return Effect.mapError(decodeBundle(value), (cause) =>
    corrupt(`the signature is no Sigstore bundle v0.3 of a key or certificate: ${cause.message}`),
  )
}

/** What a signature is made over (DSSE's pre-authentication encoding). */
export const signedBytes = (payload: Uint8Array): Buffer =>
  Buffer.concat([
    Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `),
    payload,
  ])

/** Paths part by part, as the peer orders them: `a/b` comes before `a.b`. */
const byParts = (a: SignedFile, b: SignedFile): number => {
  const [left, right] = [a.path.split("/"), b.path.split("/")]
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const [x = "", y = ""] = [left[i], right[i]]
    if (x !== y) return Buffer.compare(Buffer.from(x), Buffer.from(y))
  }
  return 0
}

const rootOf = (digests: ReadonlyArray<string>): Buffer => {
  const hash = createHash("sha256")
  for (const digest of digests) hash.update(Buffer.from(digest, "hex"))
  return hash.digest()
}

/** 32 bytes, whatever was written. */
const digestBytes = (hex: string): Buffer => {
  const bytes = Buffer.alloc(32)
  const given = Buffer.from(hex, "hex")
  return given.length === 32 ? given : bytes
}

/** The payload that states a model's files, `sha256:` digests each. */
export const payloadOf = (
  name: string,
  files: ReadonlyArray<SignedFile>,
  ignored: ReadonlyArray<string>,
): Buffer => {
  const resources = files.toSorted(byParts).map(({ path, digest }) => ({
    name: path,
    algorithm: "sha256",
    digest: digest.slice("sha256:".length),
  }))
  const sha256 = rootOf(resources.map(({ digest }) => digest)).toString("hex")
  const statement = {
    _type: statementType,
    subject: [{ name, digest: { sha256 } }],
    predicateType,
    predicate: {
      serialization: {
        method: "files",
        hash_type: "sha256",
        allow_symlinks: false,
        ...(ignored.length === 0 ? {} : { ignore_paths: ignored }),
      },
      resources,
    },
  }
  return Buffer.from(JSON.stringify(statement))
}

/** The bundle of a payload and its signature. */
export const bundleOf = (
  payload: Uint8Array,
  signature: Uint8Array,
  verificationMaterial: Bundle["verificationMaterial"],
): Bundle => ({
  mediaType,
  verificationMaterial: { ...verificationMaterial, tlogEntries: [] },
  dsseEnvelope: {
    payload: Buffer.from(payload).toString("base64"),
    payloadType,
    signatures: [{ sig: Buffer.from(signature).toString("base64"), keyid: "" }],
  },
})

/** What a payload, whose signature was checked, states. */
export const statementOf = Effect.fnUntraced(function* (payload: Uint8Array) {
  const json = yield* Effect.try({
    try: (): unknown => JSON.parse(Buffer.from(payload).toString("utf8")),
    catch: (cause) => corrupt("what was signed is no JSON", cause),
  })
  const { subject, predicate } = yield* Effect.mapError(decodeStatement(json), (cause) =>
    corrupt(`what was signed is no model of OpenSSF model signing v1.0: ${cause.message}`),
  )
  const { method, hash_type, ignore_paths = [] } = predicate.serialization
  if (method !== "files" || hash_type !== "sha256") {
    return yield* invalid(
      "signature",
      `the signature states ${hash_type} digests of ${method}; digests of whole files by sha256 are verified here: sign again without shards and --hash options`,
    )
  }
  const odd = predicate.resources.find(({ algorithm }) => algorithm !== "sha256")
  if (odd !== undefined) {
    return yield* corrupt(`the signature has a ${odd.algorithm} digest of ${odd.name}`)
  }
  const root = rootOf(predicate.resources.map(({ digest }) => digest))
  if (!timingSafeEqual(root, digestBytes(subject[0].digest.sha256))) {
    return yield* corrupt("the signature contradicts itself: its files do not have its digest")
  }
  const statement: Statement = {
    name: subject[0].name,
    files: predicate.resources.map(({ name, digest }) => ({
      path: name,
      digest: `sha256:${digest}`,
    })),
    ignored: ignore_paths,
  }
  return statement
})
