import { Accelerator, Digest } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { arch, cpus, release, totalmem, type as osType } from "node:os"
import { basename, isAbsolute, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { type Secrets, redactArguments } from "./secrets.ts"
import type { Source } from "./source.ts"
import { digestOf } from "./tree.ts"

/** This machine; its devices where the service `Accelerator` is provided. */
export const machine: Effect.Effect<Source["machine"]> = Effect.gen(function* () {
  const accelerator = yield* Effect.serviceOption(Accelerator.Accelerator)
  const devices = accelerator._tag === "None" ? [] : (yield* accelerator.value.discover).devices
  const processors = cpus()
  return {
    os: osType(),
    release: release(),
    arch: arch(),
    cpu: processors[0]?.model.trim() ?? "",
    cores: processors.length,
    memoryBytes: totalmem(),
    devices: devices.map(({ id, kind, name }) => ({ id, kind, name })),
  }
})

/** This Node. */
export const runtime = (): Source["runtime"] => ({
  name: "node",
  version: process.versions.node,
  packages: Object.fromEntries(
    Object.entries(process.versions).flatMap(([name, version]) =>
      version === undefined || name === "node" ? [] : [[name, version]],
    ),
  ),
})

const lockfileNames = [
  "package-lock.json",
  "npm-shrinkwrap.json",
  "pnpm-lock.yaml",
  "yarn.lock",
  "bun.lock",
  "uv.lock",
  "poetry.lock",
  "pdm.lock",
  "Pipfile.lock",
  "requirements.txt",
  "environment.yml",
  "conda-lock.yml",
]

/** Digests of lockfiles at the root and in the working directory. */
export const lockfiles = async (root: string, directory: string): Promise<Source["lockfiles"]> => {
  const places = [...new Set(["", directory])]
  const found = await Promise.all(
    places.flatMap((place) =>
      lockfileNames.map(async (name) => {
        const path = place === "" ? name : `${place}/${name}`
        const digest = await digestOf(join(root, path)).catch(() => undefined)
        return digest === undefined ? [] : [{ path, digest }]
      }),
    ),
  )
  return found.flat()
}

/** Node's options, the script relative to the working directory, and its arguments. */
export const command = (directory: string, secrets: Secrets): ReadonlyArray<string> => {
  const [, script, ...args] = process.argv
  // A REPL or `-e` has no script, and its code may be in execArgv.
  if (script === undefined) return []
  const options = process.execArgv.filter((option) => !/^(?:-e|--eval|-p|--print)/.test(option))
  const inside = relative(directory, script)
  const shown = inside.startsWith("..") || isAbsolute(inside) ? basename(script) : inside
  return redactArguments([...options, shown, ...args], secrets)
}

const fileDigest = async (uri: string): Promise<string | undefined> => {
  try {
    return await digestOf(fileURLToPath(uri))
  } catch {
    return undefined
  }
}

/** Digests of datasets that are local files and have none. */
export const datasets = async (given: Source["datasets"]): Promise<Source["datasets"]> =>
  Promise.all(
    given.map(async (dataset) => {
      if (dataset.digest !== undefined || !dataset.uri.startsWith("file:")) return dataset
      const digest = await fileDigest(dataset.uri)
      return digest === undefined ? dataset : { ...dataset, digest }
    }),
  )

/** What a source says of bytes it keeps. */
export const keptOf = (bytes: Uint8Array) => ({ digest: Digest.of(bytes), size: bytes.length })
