/**
 * Every device of the machine: the processor, the WebGPU adapter and NVIDIA GPUs.
 *
 * @module
 */
import type * as Layer from "effect/Layer"
import type { Accelerator } from "./Accelerator.ts"
import * as Cpu from "./cpu.ts"
import * as Cuda from "./cuda.ts"
import { layerOf } from "./internal/accelerator/leases.ts"
import type { Probe } from "./internal/accelerator/probe.ts"
import * as WebGpu from "./webgpu.ts"

export type { Probe, ProbeOptions } from "./internal/accelerator/probe.ts"

/** What to look for. */
export interface AcceleratorOptions {
  /** For each child process of a probe; default 15000. */
  readonly timeoutMs?: number
  /** Default the processor, WebGPU and CUDA. */
  readonly probes?: ReadonlyArray<Probe>
}

/**
 * All devices. They are looked for once, at the first question, in child processes that are killed
 * when they hang; what cannot be used is listed in `absent` with the reason.
 */
export const layer = (options: AcceleratorOptions = {}): Layer.Layer<Accelerator> => {
  const each = options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }
  return layerOf(options.probes ?? [Cpu.probe(each), WebGpu.probe(each), Cuda.probe(each)])
}
