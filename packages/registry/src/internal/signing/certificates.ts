/**
 * Certificates of signers, and whether a trusted root vouches for them.
 *
 * @module
 */
import { type KeyObject, X509Certificate } from "node:crypto"

/** Why a chain is not trusted. */
export class Untrusted extends Error {}

/** The certificates of a PEM text, one after the other. */
export const fromPem = (pem: string): ReadonlyArray<X509Certificate> =>
  (pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(
    (part) => new X509Certificate(part),
  )

const keyUsage = Buffer.from([0x06, 0x03, 0x55, 0x1d, 0x0f])

/**
 * Whether its key usage (OID 2.5.29.15) has digitalSignature, the first bit of its bit string. The
 * certificate's issuer has signed these bytes, so that they are well-formed.
 */
const signsDigitally = (certificate: X509Certificate): boolean => {
  const der = certificate.raw
  let at = der.indexOf(keyUsage)
  if (at < 0) return false
  at += keyUsage.length
  if (der[at] === 0x01) at += 3
  // An octet string around a bit string: 04 len 03 len unused bits.
  return der[at] === 0x04 && der[at + 2] === 0x03 && ((der[at + 5] ?? 0) & 0x80) !== 0
}

const codeSigning = "1.3.6.1.5.5.7.3.3"

const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)

const isValidAt = (certificate: X509Certificate, time: number): boolean =>
  Date.parse(certificate.validFrom) <= time && time <= Date.parse(certificate.validTo)

/**
 * The signer's key, when a chain of these certificates leads from the first to a trusted root. As
 * there is no trusted time of signing, all must have been valid when the first became so.
 */
export const verifiedKey = (
  chain: ReadonlyArray<X509Certificate>,
  roots: ReadonlyArray<X509Certificate>,
): { readonly key: KeyObject; readonly subject: string } => {
  const [signer, ...others] = chain
  if (signer === undefined) throw new Untrusted("the signature has no certificate")
  const time = Date.parse(signer.validFrom)
  if (!signsDigitally(signer) && !(signer.keyUsage ?? []).includes(codeSigning)) {
    throw new Untrusted(`the certificate of ${signer.subject} is not for signing`)
  }
  let current = signer
  for (let depth = 0; depth < 10; depth++) {
    const at = current
    const anchor = roots.find(
      (root) => root.raw.equals(at.raw) || (isValidAt(root, time) && isIssuedBy(at, root)),
    )
    if (anchor !== undefined) return { key: signer.publicKey, subject: signer.subject }
    const next = others.find(
      (candidate) => candidate !== at && isValidAt(candidate, time) && isIssuedBy(at, candidate),
    )
    if (next === undefined) break
    current = next
  }
  throw new Untrusted(`no trusted root vouches for ${signer.subject}`)
}
