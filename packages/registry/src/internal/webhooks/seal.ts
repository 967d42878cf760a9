import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto"

/**
 * Secrets at rest: AES-256-GCM, with a key derived (HKDF-SHA256) from one that is kept elsewhere,
 * bound to the id of what the secret belongs to, so that a row cannot lend another its secret.
 */
const algorithm = "aes-256-gcm"
const version = "v1"

const keyOf = (master: string): Buffer =>
  Buffer.from(hkdfSync("sha256", master, "ashlar-registry", "webhook secrets", 32))

/** Tells keys apart without telling the key. */
const fingerprint = (key: Buffer): string =>
  createHash("sha256").update(key).digest("hex").slice(0, 8)

/** Encrypts a text for an owner. */
export const seal = (master: string, owner: string, text: string): string => {
  const key = keyOf(master)
  const nonce = randomBytes(12)
  const cipher = createCipheriv(algorithm, key, nonce).setAAD(Buffer.from(owner))
  const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()])
  return [
    version,
    fingerprint(key),
    nonce.toString("base64url"),
    sealed.toString("base64url"),
  ].join(".")
}

/** Decrypts what {@link seal} made; `undefined` with another key or owner, or when damaged. */
export const unseal = (master: string, owner: string, sealed: string): string | undefined => {
  const [made, by, nonce = "", content = ""] = sealed.split(".")
  const key = keyOf(master)
  if (made !== version || by !== fingerprint(key)) return undefined
  const bytes = Buffer.from(content, "base64url")
  if (bytes.length < 16) return undefined
  try {
    const cipher = createDecipheriv(algorithm, key, Buffer.from(nonce, "base64url"))
      .setAAD(Buffer.from(owner))
      .setAuthTag(bytes.subarray(-16))
    return Buffer.concat([cipher.update(bytes.subarray(0, -16)), cipher.final()]).toString("utf8")
  } catch {
    return undefined
  }
}
