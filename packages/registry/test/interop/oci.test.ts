import { ModelPackage } from "@ashlar/core"
import { ModelPack } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const missing = ["skopeo", "umoci"].filter(
  (program) => spawnSync(program, ["--version"]).error !== undefined,
)

describe.skipIf(missing.length > 0)(`skopeo and umoci (missing: ${missing.join(", ")})`, () => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-oci-"))
  const layout = join(folder, "layout")
  let digest = ""

  beforeAll(async () => {
    const pack = await Effect.runPromise(
      ModelPackage.write(join(folder, "package"), {
        flavor: "onnx",
        entry: "model.onnx",
        files: { "model.onnx": Buffer.from("weights"), "README.md": Buffer.from("# Model") },
        signature: {
          inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
          outputs: [{ name: "y", datatype: "FP32", shape: [-1] }],
        },
      }),
    )
    const written = await Effect.runPromise(
      ModelPack.write(pack, layout, { name: "flights", version: "v1" }),
    )
    digest = written.digest
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it("skopeo reads and copies it, every byte the same", async () => {
    const raw = execFileSync("skopeo", ["inspect", "--raw", `oci:${layout}:v1`], {
      encoding: "utf8",
    })
    expect(JSON.parse(raw)).toMatchObject({
      schemaVersion: 2,
      artifactType: "application/vnd.cncf.model.manifest.v1+json",
    })
    const copy = join(folder, "copy")
    execFileSync("skopeo", ["copy", "--insecure-policy", `oci:${layout}:v1`, `oci:${copy}:v2`])
    const blobs = (at: string) => readdirSync(join(at, "blobs", "sha256")).sort()
    expect(blobs(copy)).toEqual(blobs(layout))
    const to = join(folder, "back")
    const read = await Effect.runPromise(ModelPack.unpack(copy, to, { version: "v2" }))
    expect(read.digest).toBe(digest)
    expect(readFileSync(join(to, "model.onnx"), "utf8")).toBe("weights")
  })

  it("umoci lists its tag", () => {
    const tags = execFileSync("umoci", ["list", "--layout", layout], { encoding: "utf8" })
    expect(tags.trim()).toBe("v1")
  })
})
