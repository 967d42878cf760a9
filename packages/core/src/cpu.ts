/**
 * The processor as a device: its threads, memory and instruction sets, and whether ONNX Runtime
 * starts on it.
 *
 * @module
 */
import { readFile } from "node:fs/promises"
import * as os from "node:os"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type { Accelerator } from "./Accelerator.ts"
import { layerOf } from "./internal/accelerator/leases.ts"
import type { Probe, ProbeOptions } from "./internal/accelerator/probe.ts"
import { tryProviders } from "./internal/accelerator/providers.ts"

export type { Probe, ProbeOptions } from "./internal/accelerator/probe.ts"

/** Instruction sets that numeric code asks for. */
const known =
  /^(sse4_1|sse4_2|avx|avx2|fma|f16c|avx512\w+|avx_vnni|amx_\w+|neon|asimd\w*|sve\w*|i8mm|bf16)$/

/** Instruction sets from Linux's `/proc/cpuinfo`; none where there is no such file. */
const features = Effect.promise(async (): Promise<ReadonlyArray<string>> => {
  const text = await readFile("/proc/cpuinfo", "utf8").catch(() => "")
  const flags = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1] ?? ""
  return [...new Set(flags.split(/\s+/).filter((flag) => known.test(flag)))].sort()
})

/** Looks at the processor. */
export const probe = (options: ProbeOptions = {}): Probe => ({
  kind: "cpu",
  run: Effect.gen(function* () {
    const providers = yield* tryProviders("cpu", ["cpu"], options)
    const device = {
      id: "cpu:0",
      kind: "cpu" as const,
      name: os.cpus()[0]?.model.trim() || os.arch(),
      units: os.availableParallelism(),
      memoryBytes: os.totalmem(),
      features: yield* features,
      providers: providers.started,
    }
    return { devices: [device], absent: providers.absent }
  }),
})

/** The processor alone. */
export const layer = (options: ProbeOptions = {}): Layer.Layer<Accelerator> =>
  layerOf([probe(options)])
