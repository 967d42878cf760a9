/**
 * SPI: the devices a machine has, and leases on them. Backends: `cpu`, `webgpu`, `cuda`.
 *
 * @module
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Failure from "./Failure.ts"

/** No device fits, or a device could not be leased. */
export class AcceleratorError extends Schema.TaggedError<AcceleratorError>()(
  "AcceleratorError",
  Failure.fields(["InvalidInput", "NotFound", "Unavailable", "Timeout", "Internal"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** Schema of a device. */
export const Device = Schema.Struct({
  /** Stable within a machine, e.g. `cpu:0`, `cuda:1`. */
  id: Schema.String,
  kind: Schema.Literals(["cpu", "webgpu", "cuda"]),
  /** Vendor's name, e.g. a CPU model. */
  name: Schema.String,
  /** Threads for a CPU; 1 for a GPU. */
  units: Schema.Int,
  memoryBytes: Schema.optionalKey(Schema.Number),
  /** Instruction sets or adapter features, e.g. `avx2`, `shader-f16`. */
  features: Schema.Array(Schema.String),
  /** ONNX Runtime execution providers that started on it. */
  providers: Schema.Array(Schema.String),
})

/** A device. */
export type Device = typeof Device.Type

/** Something that was looked for and cannot be used, and why. */
export interface Absent {
  readonly kind: "cpu" | "webgpu" | "cuda"
  readonly what: string
  readonly why: string
}

/** What a machine has. */
export interface Inventory {
  readonly devices: ReadonlyArray<Device>
  readonly absent: ReadonlyArray<Absent>
}

/** What a job needs. */
export interface DeviceRequest {
  /** Kinds in order of preference; default `["cuda", "webgpu", "cpu"]`. */
  readonly kinds?: ReadonlyArray<Device["kind"]>
  /** Units of the device; default 1. */
  readonly units?: number
  /** ONNX Runtime provider it must offer. */
  readonly provider?: string
}

/** A device and the units granted. */
export interface Lease {
  readonly device: Device
  readonly units: number
}

/** Finds devices and hands them out. Discovery never crashes the process and never hangs. */
export class Accelerator extends Context.Service<
  Accelerator,
  {
    readonly discover: Effect.Effect<Inventory>
    /** Waits for units of the best matching device; given back when the scope closes. */
    readonly lease: (request: DeviceRequest) => Effect.Effect<Lease, AcceleratorError, Scope.Scope>
  }
>()("@ashlar/core/Accelerator/v1") {}
