import { Digest } from "@ashlar/core"
import { Signing } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import { execFileSync, spawnSync } from "node:child_process"
import { generateKeyPairSync } from "node:crypto"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const python = process.env["ASHLAR_PYTHON"] ?? ""

describe.skipIf(python === "")("OpenSSF's model_signing", () => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-signing-"))
  const at = (...names: ReadonlyArray<string>) => join(folder, ...names)
  const contents = { "model.onnx": "weights", "a/part": "1", "a.part": "2", "Z.txt": "3" }
  const files = Object.entries(contents).map(([path, text]) => ({ path, digest: Digest.of(text) }))
  const model: Signing.SignedModel = { name: "model", files }
  const keys = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  })
  const tool = (...args: ReadonlyArray<string>) => {
    const { status, stdout, stderr } = spawnSync(python, ["-m", "model_signing", ...args], {
      cwd: folder,
      encoding: "utf8",
    })
    return { good: status === 0, said: stdout + stderr }
  }
  const openssl = (...args: ReadonlyArray<string>) =>
    execFileSync("openssl", args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] })

  beforeAll(() => {
    mkdirSync(at("model", "a"), { recursive: true })
    for (const [path, text] of Object.entries(contents)) writeFileSync(at("model", path), text)
    writeFileSync(at("key.pem"), keys.privateKey)
    writeFileSync(at("key.pub"), keys.publicKey)
    // A root, and a signer below it.
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "root.pem")
    openssl(
      ..."req -x509 -new -key root.pem -subj /CN=Root -days 30 -out root.crt".split(" "),
      "-addext",
      "basicConstraints=critical,CA:TRUE",
      "-addext",
      "keyUsage=critical,keyCertSign",
    )
    openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "signer.pem")
    openssl(..."req -new -key signer.pem -subj /CN=Ada -out signer.csr".split(" "))
    writeFileSync(at("signer.ext"), "keyUsage=critical,digitalSignature\n")
    openssl(
      ..."x509 -req -in signer.csr -CA root.crt -CAkey root.pem -days 30".split(" "),
      ..."-extfile signer.ext -out signer.crt".split(" "),
    )
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const write = (name: string, signature: Signing.Bundle) =>
    writeFileSync(at(name), JSON.stringify(signature))
  const verify = (name: string, trust: Signing.Trust, what = model) =>
    Effect.runPromise(Signing.verify(what, readFileSync(at(name), "utf8"), trust))

  it("verifies what is signed here by a key, and refuses it for another model", async () => {
    write("ours.sig", await Effect.runPromise(Signing.sign(model, keys)))
    const arguments_ = ["--signature", "ours.sig", "--public_key", "key.pub"]
    const verified = tool("verify", "key", "model", ...arguments_)
    expect(verified.said).toContain("succeeded")
    expect(verified.good).toBe(true)
    writeFileSync(at("model", "model.onnx"), "other")
    expect(tool("verify", "key", "model", ...arguments_).good).toBe(false)
    writeFileSync(at("model", "model.onnx"), "weights")
  })

  it("signs by a key what is verified here", async () => {
    const signed = tool(
      "sign",
      "key",
      "model",
      "--signature",
      "theirs.sig",
      "--private_key",
      "key.pem",
    )
    expect(signed.good).toBe(true)
    const { name, signer } = await verify("theirs.sig", { publicKeys: [keys.publicKey] })
    expect(name).toBe("model")
    expect(signer).toMatch(/^key sha256:/)
    const other = { ...model, files: files.slice(1) }
    const error = await verify("theirs.sig", { publicKeys: [keys.publicKey] }, other).catch(
      (cause: { readonly reason: string }) => cause,
    )
    expect(error).toMatchObject({ reason: "Corrupt" })
  })

  it("verifies a certificate's signature made here, and the other way round", async () => {
    const privateKey = readFileSync(at("signer.pem"), "utf8")
    const certificates = readFileSync(at("signer.crt"), "utf8")
    const root = readFileSync(at("root.crt"), "utf8")
    write("chain.sig", await Effect.runPromise(Signing.sign(model, { privateKey, certificates })))
    const chain = ["--certificate_chain", "root.crt"]
    const verified = tool("verify", "certificate", "model", "--signature", "chain.sig", ...chain)
    expect(verified.said).toContain("succeeded")
    const signed = tool(
      ..."sign certificate model --signature their-chain.sig --private_key signer.pem".split(" "),
      "--signing_certificate",
      "signer.crt",
      ...chain,
    )
    expect(signed.said).toContain("succeeded")
    for (const name of ["chain.sig", "their-chain.sig"]) {
      expect((await verify(name, { roots: [root] })).signer).toBe("CN=Ada")
      const other = await verify(name, { roots: [] }).catch(
        (cause: { readonly reason: string }) => cause.reason,
      )
      expect(other).toBe("PermissionDenied")
    }
  })
})
