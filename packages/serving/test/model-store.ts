import {
  type DataType,
  Digest,
  type ModelPackage,
  ModelSource,
  type Signature,
  Timestamp,
} from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"

/** Models in a directory of the test, with aliases that can be moved. */
export const make = (root: string) => {
  const versions = new Map<string, Array<ModelPackage.ModelPackage>>()
  const aliases = new Map<string, number>()
  const changes = Effect.runSync(PubSub.unbounded<ModelSource.ModelChange>())

  const notFound = (what: string) =>
    new ModelSource.ModelStoreError({ reason: "NotFound", message: `${what} does not exist` })

  /** How often a version was asked for. */
  let resolved = 0

  return {
    resolved: () => resolved,
    add: (
      name: string,
      bytes: Uint8Array,
      width: number,
      datatype: DataType.DataType = "FP32",
      flavor = "onnx",
    ) => {
      const list = versions.get(name) ?? []
      versions.set(name, list)
      const directory = join(root, `${name}-${list.length + 1}`)
      mkdirSync(directory, { recursive: true })
      writeFileSync(join(directory, "model.onnx"), bytes)
      const digest = Digest.of(bytes)
      const signature: Signature.Signature = {
        inputs: [{ name: "x", datatype, shape: [-1, width] }],
        outputs: [{ name: "y", datatype, shape: [-1, width] }],
      }
      const manifest: ModelPackage.Manifest = {
        flavor,
        flavors: { [flavor]: {} },
        entry: "model.onnx",
        signature,
        modelUuid: "test",
        created: Timestamp.now(),
        files: [{ path: "model.onnx", size: bytes.length, digest }],
        digest,
      }
      list.push({ directory, manifest })
      return list.length
    },
    setAlias: (name: string, alias: string, version: number) => {
      aliases.set(`${name}@${alias}`, version)
      Effect.runSync(PubSub.publish(changes, { name, alias, version }))
    },
    layer: Layer.succeed(
      ModelSource.ModelSource,
      ModelSource.ModelSource.of({
        resolve: (ref) =>
          Effect.suspend(() => {
            resolved += 1
            const list = versions.get(ref.name)
            if (list === undefined) return Effect.fail(notFound(`model ${ref.name}`))
            const version =
              ref.alias === undefined
                ? (ref.version ?? list.length)
                : aliases.get(`${ref.name}@${ref.alias}`)
            const found = version === undefined ? undefined : list[version - 1]
            if (version === undefined || found === undefined) {
              return Effect.fail(notFound(`that version of ${ref.name}`))
            }
            return Effect.succeed({
              name: ref.name,
              version,
              aliases: [...aliases].flatMap(([key, value]) =>
                value === version && key.startsWith(`${ref.name}@`)
                  ? [key.slice(ref.name.length + 1)]
                  : [],
              ),
              package: found,
            })
          }),
        changes: (name) =>
          Stream.filter(Stream.fromPubSub(changes), (change) => change.name === name),
      }),
    ),
  }
}
