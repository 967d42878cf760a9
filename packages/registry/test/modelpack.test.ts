import { ModelPackage } from "@ashlar/core"
import { ModelPack } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-modelpack-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let pack: ModelPackage.ModelPackage
const options = { name: "flights", version: "3" }
const layout = join(folder, "layout")

beforeAll(async () => {
  pack = await Effect.runPromise(
    ModelPackage.write(join(folder, "package"), {
      flavor: "onnx",
      entry: "model.onnx",
      files: {
        "model.onnx": Buffer.from("weights"),
        "data/part.bin": Buffer.from("weights"),
        "README.md": Buffer.from("# Flights"),
        "code/steps.py": Buffer.from("pass"),
      },
      signature: {
        inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
        outputs: [{ name: "y", datatype: "FP32", shape: [-1] }],
      },
      created: 1_700_000_000_000_000,
    }),
  )
  await Effect.runPromise(ModelPack.write(pack, layout, options))
})

interface Descriptor {
  digest: string
  size: number
  mediaType: string
  annotations: Record<string, string>
}
interface Manifest {
  schemaVersion: number
  config: Descriptor
  layers: Array<Descriptor>
  artifactType?: string
}
const blob = (at: string, digest: string) => join(at, "blobs", "sha256", digest.slice(7))
const json = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"))
const indexOf = (at: string) =>
  json(join(at, "index.json")) as { manifests: Array<Descriptor>; schemaVersion: number }
const manifestOf = (at: string) =>
  json(blob(at, indexOf(at).manifests[0]?.digest ?? "")) as Manifest

/** A copy of the layout whose manifest is another, with digests that fit. */
const altered = (name: string, change: (manifest: Manifest) => void): string => {
  const at = join(folder, name)
  cpSync(layout, at, { recursive: true })
  const manifest = manifestOf(at)
  change(manifest)
  const bytes = Buffer.from(JSON.stringify(manifest))
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`
  writeFileSync(blob(at, digest), bytes)
  const index = indexOf(at)
  const [first] = index.manifests
  index.manifests = [{ ...first, digest, size: bytes.length } as Descriptor]
  writeFileSync(join(at, "index.json"), JSON.stringify(index))
  return at
}

let count = 0
const target = () => join(folder, `out-${count++}`)
const refused = async (at: string, read: ModelPack.ReadOptions = {}) => {
  const to = target()
  const error = await Effect.runPromise(Effect.flip(ModelPack.unpack(at, to, read)))
  expect(existsSync(to)).toBe(false)
  expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([])
  return error
}

describe("a model as an OCI artifact", () => {
  it("is what ModelPack says, one layer a file", () => {
    const index = indexOf(layout)
    expect(index.manifests[0]?.annotations).toEqual({ "org.opencontainers.image.ref.name": "3" })
    const manifest = manifestOf(layout)
    expect(manifest.artifactType).toBe("application/vnd.cncf.model.manifest.v1+json")
    expect(
      manifest.layers.map(({ mediaType, annotations }) => [
        annotations["org.cncf.model.filepath"],
        mediaType.replace("application/vnd.cncf.model.", ""),
      ]),
    ).toEqual([
      ["MLmodel", "weight.config.v1.raw"],
      ["README.md", "doc.v1.raw"],
      ["ashlar.json", "weight.config.v1.raw"],
      ["code/steps.py", "code.v1.raw"],
      ["data/part.bin", "weight.v1.raw"],
      ["model.onnx", "weight.v1.raw"],
    ])
    expect(json(blob(layout, manifest.config.digest))).toEqual({
      descriptor: { createdAt: "2023-11-14T22:13:20.000Z", name: "flights", version: "3" },
      config: { format: "onnx" },
      modelfs: { type: "layers", diffIds: manifest.layers.map(({ digest }) => digest) },
    })
  })

  it("has the same bytes whenever it is written", async () => {
    const again = join(folder, "again")
    const written = await Effect.runPromise(ModelPack.write(pack, again, options))
    expect(readFileSync(join(again, "index.json"))).toEqual(
      readFileSync(join(layout, "index.json")),
    )
    expect(written.digest).toBe(indexOf(layout).manifests[0]?.digest)
    expect(written.layers).toBe(6)
  })

  it("comes back as the package it was", async () => {
    const to = target()
    const { files } = await Effect.runPromise(ModelPack.unpack(layout, to, { version: "3" }))
    expect(files).toBe(6)
    const back = await Effect.runPromise(ModelPackage.read(to))
    expect(back.manifest).toEqual(pack.manifest)
  })

  it("is not written over another, nor from files that changed", async () => {
    const there = await Effect.runPromise(Effect.flip(ModelPack.write(pack, layout, options)))
    expect(there.reason).toBe("AlreadyExists")
    const changed = join(folder, "changed")
    cpSync(pack.directory, changed, { recursive: true })
    writeFileSync(join(changed, "README.md"), "# Changed")
    const error = await Effect.runPromise(
      Effect.flip(ModelPack.write({ ...pack, directory: changed }, target(), options)),
    )
    expect(error.reason).toBe("Corrupt")
  })
})

describe("a hostile artifact", () => {
  it.each([
    ["a path that leaves the directory", "../evil", "not a relative path"],
    ["an absolute path", "/etc/passwd", "not a relative path"],
    ["a backslash", "a\\..\\b", "not a relative path"],
    ["the path of another layer", "MODEL.onnx", "is there twice"],
  ])("is refused for %s", async (name, path, message) => {
    const at = altered(`path ${name}`, (manifest) => {
      const layer = manifest.layers[0]
      if (layer !== undefined) layer.annotations["org.cncf.model.filepath"] = path
    })
    const error = await refused(at)
    expect(error.reason).toBe("InvalidInput")
    expect(error.message).toContain(message)
  })

  it("is refused for a layer that is not its digest, too long, a link or missing", async () => {
    const { digest, size } = manifestOf(layout).layers[5] ?? { digest: "", size: 0 }
    const changed = join(folder, "changed-layer")
    cpSync(layout, changed, { recursive: true })
    writeFileSync(blob(changed, digest), "x".repeat(size))
    expect((await refused(changed)).reason).toBe("Corrupt")
    writeFileSync(blob(changed, digest), "x".repeat(size + 1))
    expect((await refused(changed)).reason).toBe("Corrupt")
    rmSync(blob(changed, digest))
    expect((await refused(changed)).reason).toBe("Corrupt")
    symlinkSync("/etc/hostname", blob(changed, digest))
    const error = await refused(changed)
    expect(error.message).toContain("no regular file")
  })

  it("is refused for archives, another kind of artifact, several tags, too many bytes", async () => {
    const archive = altered("archive", (manifest) => {
      const layer = manifest.layers[0]
      if (layer !== undefined) layer.mediaType = "application/vnd.cncf.model.weight.v1.tar"
    })
    expect((await refused(archive)).message).toContain("layers that are one file each")
    const image = altered("image", (manifest) => {
      manifest.config.mediaType = "application/vnd.oci.image.config.v1+json"
    })
    expect((await refused(image)).message).toContain("it is no ModelPack")
    expect((await refused(layout, { version: "4" })).message).toContain("its tags are 3")
    expect((await refused(layout, { maxBytes: 10 })).field).toBe("maxBytes")
    const empty = join(folder, "empty")
    mkdirSync(empty)
    expect((await refused(empty)).reason).toBe("Corrupt")
    writeFileSync(join(empty, "index.json"), "{")
    expect((await refused(empty)).reason).toBe("Corrupt")
  })
})
