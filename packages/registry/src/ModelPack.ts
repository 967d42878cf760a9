/**
 * Models as OCI artifacts of the CNCF ModelPack specification: an OCI image layout that registries,
 * `skopeo` and Kubernetes image volumes take, written and read without a container engine.
 * https://github.com/modelpack/model-spec
 *
 * @module
 */
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { mkdir } from "node:fs/promises"
import { basename, extname, join } from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ModelPackage } from "@ashlar/core"
import * as Limits from "./internal/limits.ts"
import * as Layout from "./internal/oci/layout.ts"
import { invalid, RegistryError } from "./RegistryError.ts"

const artifactType = "application/vnd.cncf.model.manifest.v1+json"
const configType = "application/vnd.cncf.model.config.v1+json"
const filepath = "org.cncf.model.filepath"
const fileMetadata = "org.cncf.model.file.metadata+json"
const refName = "org.opencontainers.image.ref.name"

/** What a layer is for, which its media type says. */
const kindOf = (path: string): string => {
  const name = basename(path).toLowerCase()
  if (/^(readme|license|notice|changelog)(\.|$)/.test(name) || name.endsWith(".md")) return "doc"
  switch (extname(name)) {
    case ".py":
    case ".ts":
    case ".js":
    case ".mjs":
      return "code"
    case ".json":
    case ".yaml":
    case ".yml":
    case ".txt":
    case "":
      return "weight.config"
    default:
      return "weight"
  }
}

const mediaTypeOf = (path: string): string => `application/vnd.cncf.model.${kindOf(path)}.v1.raw`

/** What a written layout holds. */
export interface Written {
  /** Digest of the manifest: by it the artifact is pinned. */
  readonly digest: string
  readonly layers: number
  readonly bytes: number
}

/** What to call the model in its config and the tag in the index. */
export interface WriteOptions {
  readonly name: string
  /** Default `latest`. */
  readonly version?: string
  readonly description?: string
  readonly authors?: ReadonlyArray<string>
  readonly licenses?: ReadonlyArray<string>
}

const failed = (cause: unknown): RegistryError =>
  cause instanceof RegistryError
    ? cause
    : new RegistryError({
        reason: "Unavailable",
        message: cause instanceof Error ? cause.message : String(cause),
        cause,
      })

/** Digest and size of a descriptor, which the manifest does not list. */
const digested = async (path: string) => {
  const hash = createHash("sha256")
  let size = 0
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    hash.update(chunk)
    size += chunk.length
  }
  return { digest: `sha256:${hash.digest("hex")}`, size }
}

/**
 * Writes a package as an OCI image layout into a new directory, whole or not at all. One layer a
 * file, as it is: nothing is compressed or archived, so that a layer's digest is the file's. Equal
 * packages and options give equal bytes. Fails with `AlreadyExists`, `Corrupt` when a file is not as
 * the manifest says, `Unavailable`.
 */
export const write = (
  pack: ModelPackage.ModelPackage,
  directory: string,
  options: WriteOptions,
): Effect.Effect<Written, RegistryError> =>
  Effect.gen(function* () {
    yield* Limits.name("name", options.name)
    const { manifest } = pack
    const version = options.version ?? "latest"
    yield* Limits.name("version", version)
    return yield* Effect.tryPromise({
      try: () =>
        Layout.staged(directory, async (staging) => {
          await mkdir(join(staging, "blobs", "sha256"), { recursive: true })
          // Descriptors are layers too, so that what is read back is the package, file by file.
          const described = await Promise.all(
            ["MLmodel", "ashlar.json"].map(async (path) => ({
              path,
              ...(await digested(join(pack.directory, path))),
            })),
          )
          const files = [...manifest.files, ...described].toSorted((a, b) =>
            a.path < b.path ? -1 : 1,
          )
          const layers: Array<Layout.Descriptor> = []
          const stored = new Set<string>()
          for (const { path, digest, size } of files) {
            if (!stored.has(digest)) {
              const from = await Layout.readRegular(join(pack.directory, path), path)
              await Layout.copyChecked(from, Layout.blobPath(staging, digest), { digest }, path)
              stored.add(digest)
            }
            layers.push({
              mediaType: mediaTypeOf(path),
              digest,
              size,
              annotations: {
                [filepath]: path,
                [fileMetadata]: JSON.stringify({
                  name: path,
                  mode: 0o644,
                  uid: 0,
                  gid: 0,
                  size,
                  mtime: new Date(manifest.created / 1000).toISOString(),
                  typeflag: 48,
                }),
              },
            })
          }
          const created = new Date(manifest.created / 1000).toISOString()
          const config = await Layout.putDocument(staging, configType, {
            descriptor: {
              createdAt: created,
              name: options.name,
              version,
              ...(options.description === undefined ? {} : { description: options.description }),
              ...(options.authors === undefined ? {} : { authors: options.authors }),
              ...(options.licenses === undefined ? {} : { licenses: options.licenses }),
            },
            config: { format: manifest.flavor },
            modelfs: { type: "layers", diffIds: layers.map(({ digest }) => digest) },
          })
          const image = await Layout.putDocument(staging, Layout.manifestType, {
            schemaVersion: 2,
            mediaType: Layout.manifestType,
            artifactType,
            config,
            layers,
            annotations: {
              "org.opencontainers.image.title": options.name,
              "org.opencontainers.image.version": version,
              "org.opencontainers.image.created": created,
            },
          })
          await Layout.writeWhole(
            join(staging, "index.json"),
            JSON.stringify({
              schemaVersion: 2,
              mediaType: "application/vnd.oci.image.index.v1+json",
              manifests: [{ ...image, artifactType, annotations: { [refName]: version } }],
            }),
          )
          await Layout.writeWhole(join(staging, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}')
          return {
            digest: image.digest,
            layers: layers.length,
            bytes: layers.reduce((sum, { size }) => sum + size, 0),
          }
        }),
      catch: failed,
    })
  })

const decodeIndex = Schema.decodeUnknownSync(Layout.Index)
const decodeManifest = Schema.decodeUnknownSync(Layout.Manifest)

/** Which artifact of a layout to read, and how much it may hold. */
export interface ReadOptions {
  /** The tag in the index; default the only one. */
  readonly version?: string
  /** Most bytes of all layers; default 100 GiB. */
  readonly maxBytes?: number
}

const manifestOf = async (layout: string, version: string | undefined) => {
  const { manifests } = await Layout.readDocument(
    join(layout, "index.json"),
    "the index",
    decodeIndex,
  )
  const named = manifests.filter(
    ({ annotations }) => version === undefined || annotations?.[refName] === version,
  )
  const [only, another] = named
  if (only === undefined || another !== undefined) {
    const tags = manifests.map(({ annotations }) => annotations?.[refName] ?? "(none)").join(", ")
    throw invalid(
      "version",
      `the layout has ${named.length} artifacts${version === undefined ? "" : ` tagged ${version}`}; its tags are ${tags.slice(0, 500)}: name one`,
    )
  }
  const path = Layout.blobPath(layout, only.digest)
  const manifest = await Layout.readDocument(path, "the manifest", decodeManifest, only.digest)
  return { manifest, digest: only.digest }
}

/** Paths of layers come from strangers: relative, without tricks, each once. */
const pathsOf = async (layers: ReadonlyArray<Layout.Descriptor>, maxBytes: number) => {
  const paths = new Map<string, Layout.Descriptor>()
  let bytes = 0
  for (const [index, layer] of layers.entries()) {
    if (
      !/^application\/vnd\.cncf\.model\.[a-z.]+\.v1\.(raw|safetensors|gguf)$/.test(layer.mediaType)
    ) {
      throw invalid(
        `layers[${index}]`,
        `layer ${index} is ${layer.mediaType.slice(0, 200)}; layers that are one file each (.raw, .safetensors, .gguf) are read`,
      )
    }
    const path = layer.annotations?.[filepath]
    if (path === undefined) {
      throw invalid(`layers[${index}]`, `layer ${index} has no annotation ${filepath}`)
    }
    await Effect.runPromise(Limits.path(`layers[${index}]`, path))
    const lower = path.toLowerCase()
    if (paths.has(lower)) throw invalid(`layers[${index}]`, `${path} is there twice`)
    paths.set(lower, layer)
    bytes += layer.size
    if (bytes > maxBytes) {
      throw invalid("maxBytes", `the layers have more than the ${maxBytes} bytes allowed`)
    }
  }
  return paths
}

/**
 * Writes the files of an artifact into a new directory, each checked against its digest, whole or
 * not at all; read it with core's `ModelPackage.read`. Fails with `Corrupt`, `InvalidInput` for
 * paths that leave the directory, archives and too many bytes, `AlreadyExists`.
 */
export const unpack = (
  layout: string,
  directory: string,
  options: ReadOptions = {},
): Effect.Effect<{ readonly digest: string; readonly files: number }, RegistryError> =>
  Effect.tryPromise({
    try: async () => {
      const { manifest, digest } = await manifestOf(layout, options.version)
      if (manifest.config.mediaType !== configType) {
        throw invalid(
          "layout",
          `the artifact's config is ${manifest.config.mediaType.slice(0, 200)}, not ${configType}: it is no ModelPack`,
        )
      }
      const paths = await pathsOf(manifest.layers, options.maxBytes ?? 100 * 2 ** 30)
      await Layout.staged(directory, async (staging) => {
        for (const layer of paths.values()) {
          const path = layer.annotations?.[filepath] ?? ""
          const from = await Layout.readRegular(Layout.blobPath(layout, layer.digest), path)
          await Layout.copyChecked(from, join(staging, ...path.split("/")), layer, path)
        }
      })
      return { digest, files: paths.size }
    },
    catch: failed,
  })
