/**
 * NVIDIA GPUs, as `nvidia-smi` or the kernel driver describes them, and the ONNX Runtime providers
 * that start on them.
 *
 * @module
 */
import { readdir, readFile } from "node:fs/promises"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type { Accelerator, Device } from "./Accelerator.ts"
import { layerOf } from "./internal/accelerator/leases.ts"
import { absent, type Probe, type ProbeOptions, runCommand } from "./internal/accelerator/probe.ts"
import { tryProviders } from "./internal/accelerator/providers.ts"

export type { Probe, ProbeOptions } from "./internal/accelerator/probe.ts"

const query = [
  "nvidia-smi",
  "--query-gpu=index,name,memory.total,compute_cap",
  "--format=csv,noheader,nounits",
] as const

type Found = Omit<Device, "kind" | "units" | "providers">

/** `0, NVIDIA H200, 143771, 9.0` per line; memory in MiB. */
const parse = (text: string): ReadonlyArray<Found> =>
  text.split("\n").flatMap((line) => {
    const [index = "", name = "", memory = "", capability = ""] = line.split(", ")
    if (!/^\d+$/.test(index) || name === "") return []
    const mebibytes = Number(memory)
    return [
      {
        id: `cuda:${index}`,
        name,
        ...(Number.isFinite(mebibytes) ? { memoryBytes: mebibytes * 2 ** 20 } : {}),
        features: /^\d+\.\d+$/.test(capability.trim()) ? [`sm_${capability.trim()}`] : [],
      },
    ]
  })

/** What the Linux driver says where `nvidia-smi` is not there. */
const fromDriver = Effect.promise(async (): Promise<ReadonlyArray<Found>> => {
  const root = "/proc/driver/nvidia/gpus"
  const names = await readdir(root).catch(() => [])
  return Promise.all(
    names
      .toSorted((a, b) => (a < b ? -1 : 1))
      .map(async (name, index) => {
        const text = await readFile(`${root}/${name}/information`, "utf8").catch(() => "")
        const model = /^Model:\s*(.+)$/m.exec(text)?.[1]?.trim() ?? "NVIDIA GPU"
        return { id: `cuda:${index}`, name: model, features: [] }
      }),
  )
})

/** Asks the driver for GPUs, and when there are some, which ONNX Runtime providers start. */
export const probe = (options: ProbeOptions = {}): Probe => ({
  kind: "cuda",
  run: Effect.gen(function* () {
    const timeout = options.timeoutMs ?? 15_000
    const outcome = yield* runCommand(options.command ?? query, timeout)
    const named = "output" in outcome ? parse(outcome.output) : []
    const found = named.length === 0 && options.command === undefined ? yield* fromDriver : named
    if (found.length === 0) {
      return absent("cuda", "NVIDIA GPU", "why" in outcome ? outcome.why : "the driver lists none")
    }
    const providers = yield* tryProviders("cuda", ["cuda", "tensorrt"], { timeoutMs: timeout })
    const devices = found.map((gpu) => ({
      ...gpu,
      kind: "cuda" as const,
      units: 1,
      providers: providers.started,
    }))
    return { devices, absent: providers.absent }
  }),
})

/** NVIDIA GPUs alone. */
export const layer = (options: ProbeOptions = {}): Layer.Layer<Accelerator> =>
  layerOf([probe(options)])
