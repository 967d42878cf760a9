import { ModelPackage } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as Sqlite from "@ashlar/core/sqlite"
import { Models, Promotions, Signatures } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { generateKeyPairSync } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-promotion-signed-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const pair = () =>
  generateKeyPairSync("ec", {
    namedCurve: "P-256",
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  })
const release = pair()
const intern = pair()

const blobs = Fs.layer({ directory: join(folder, "blobs") })
const environment = Models.layer.pipe(
  Layer.provide([
    Sqlite.layer({ file: join(folder, "registry.sqlite") }),
    Signatures.verifierLayer({ publicKeys: [release.publicKey, intern.publicKey] }),
  ]),
  Layer.provideMerge(blobs),
)

it("promotes what somebody accepted signed, and says who signed it", () =>
  Effect.runPromise(
    Effect.gen(function* () {
      const models = yield* Models.Models
      const promotions = yield* Promotions.Promotions
      const { directory } = yield* ModelPackage.write(join(folder, "package"), {
        flavor: "custom",
        entry: "model.bin",
        files: { "model.bin": Buffer.from("model") },
        signature: {
          inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
          outputs: [{ name: "y", datatype: "FP32", shape: [-1] }],
        },
      })
      const version = yield* models.register({ name: "signed", directory })
      const gate = { type: "signed" } as const
      yield* promotions.setPolicy("signed", "champion", { version: 2, gates: [gate] })
      const ask = Effect.map(
        promotions.request({ name: "signed", alias: "champion", version: 1 }),
        ({ status, gates }) => ({ status, message: gates[0]?.checks[0]?.message ?? "" }),
      )
      expect(yield* ask).toMatchObject({
        status: "refused",
        message: expect.stringContaining("has no signature"),
      })
      yield* Signatures.sign(version, pair())
      expect(yield* ask).toMatchObject({
        status: "refused",
        message: expect.stringContaining("is not trusted here"),
      })
      yield* Signatures.sign(version, intern)
      const promoted = yield* ask
      expect(promoted).toMatchObject({
        status: "promoted",
        message: expect.stringMatching(/^signed by key /),
      })
      // Trusted, but not the one this alias asks for.
      const internKey = promoted.message.replace("signed by ", "")
      yield* promotions.setPolicy("signed", "champion", {
        version: 2,
        gates: [{ ...gate, signers: ["key of somebody else"] }],
      })
      expect(yield* ask).toEqual({
        status: "refused",
        message: `signed by '${internKey}', who is not accepted: signed by ${internKey}`,
      })
      yield* promotions.setPolicy("signed", "champion", {
        version: 2,
        gates: [{ ...gate, signers: [internKey] }],
      })
      expect(yield* ask).toMatchObject({ status: "promoted" })
    }).pipe(Effect.provide(environment)),
  ))
