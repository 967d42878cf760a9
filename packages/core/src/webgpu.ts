/**
 * The GPU that WebGPU finds (Vulkan, Metal or D3D12), by the optional package `webgpu`.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { Accelerator } from "./Accelerator.ts"
import { layerOf } from "./internal/accelerator/leases.ts"
import {
  absent,
  answer,
  type Probe,
  type ProbeOptions,
  program,
  runCommand,
} from "./internal/accelerator/probe.ts"
import { tryProviders } from "./internal/accelerator/providers.ts"

export type { Probe, ProbeOptions } from "./internal/accelerator/probe.ts"

const Answer = Schema.Union([
  Schema.Struct({
    name: Schema.NonEmptyString,
    features: Schema.Array(Schema.String),
    maxBufferSize: Schema.Number,
  }),
  Schema.Struct({ why: Schema.String }),
])

/** Asks for an adapter, and when there is one, whether ONNX Runtime starts on it. */
export const probe = (options: ProbeOptions = {}): Probe => ({
  kind: "webgpu",
  run: Effect.gen(function* () {
    const timeout = options.timeoutMs ?? 15_000
    const outcome = yield* runCommand(options.command ?? program("webgpuMain"), timeout)
    const found = yield* answer(outcome, Answer)
    if ("why" in found) return absent("webgpu", "WebGPU adapter", found.why)
    const providers = yield* tryProviders("webgpu", ["webgpu"], { timeoutMs: timeout })
    const device = {
      id: "webgpu:0",
      kind: "webgpu" as const,
      name: found.name,
      units: 1,
      features: found.features,
      providers: providers.started,
    }
    return { devices: [device], absent: providers.absent }
  }),
})

/** The WebGPU adapter alone. */
export const layer = (options: ProbeOptions = {}): Layer.Layer<Accelerator> =>
  layerOf([probe(options)])
