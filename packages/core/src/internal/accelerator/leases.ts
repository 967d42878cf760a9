/** The service over probes: one inventory, and fair leases on its devices. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  Accelerator,
  AcceleratorError,
  type Device,
  type DeviceRequest,
  type Inventory,
} from "../../Accelerator.ts"
import type { Probe } from "./probe.ts"

/** Units of one device, given in the order they were asked for: a large request is not overtaken. */
class Units {
  private free: number
  private readonly waiting: Array<{ readonly units: number; readonly grant: () => void }> = []

  constructor(units: number) {
    this.free = units
  }

  /** Units that the next request would wait for; negative when some are free. */
  get load(): number {
    return this.waiting.reduce((sum, waiter) => sum + waiter.units, 0) - this.free
  }

  private serve(): void {
    for (let next = this.waiting[0]; next !== undefined; next = this.waiting[0]) {
      if (next.units > this.free) return
      this.waiting.shift()
      this.free -= next.units
      next.grant()
    }
  }

  release(units: number): void {
    this.free += units
    this.serve()
  }

  acquire(units: number): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const waiter = { units, grant: () => resume(Effect.void) }
      this.waiting.push(waiter)
      this.serve()
      return Effect.sync(() => {
        const at = this.waiting.indexOf(waiter)
        if (at >= 0) this.waiting.splice(at, 1)
        // The first in line may have left: those behind it can go on.
        this.serve()
      })
    })
  }
}

const defaultKinds: ReadonlyArray<Device["kind"]> = ["cuda", "webgpu", "cpu"]

const notFound = (request: DeviceRequest, inventory: Inventory): AcceleratorError => {
  const kinds = request.kinds ?? defaultKinds
  const there = inventory.devices.map(
    (d) => `${d.id} (${d.units} units; ${d.providers.join(", ") || "no providers"})`,
  )
  const why = inventory.absent
    .filter((entry) => kinds.includes(entry.kind))
    .map((entry) => `${entry.what}: ${entry.why}`)
  const wanted = [
    kinds.join(" or "),
    ...(request.provider === undefined ? [] : [`with provider '${request.provider}'`]),
    `and ${request.units ?? 1} units`,
  ].join(" ")
  return new AcceleratorError({
    reason: "NotFound",
    message: `no device ${wanted}; there is ${there.join(", ") || "none"}${why.length === 0 ? "" : `. Absent: ${why.join("; ")}`}`,
  })
}

const choose = (
  request: DeviceRequest,
  inventory: Inventory,
  loadOf: (device: Device) => number,
): Device | undefined => {
  const fits = inventory.devices.filter(
    (device) =>
      device.units >= (request.units ?? 1) &&
      (request.provider === undefined || device.providers.includes(request.provider)),
  )
  for (const kind of request.kinds ?? defaultKinds) {
    const candidates = fits.filter((device) => device.kind === kind)
    const best = candidates.toSorted((a, b) => loadOf(a) - loadOf(b))[0]
    if (best !== undefined) return best
  }
  return undefined
}

/** The service; devices are looked for once, at the first question. */
export const make = Effect.fnUntraced(function* (
  probes: ReadonlyArray<Probe>,
): Effect.fn.Return<Accelerator["Service"]> {
  const discover = yield* Effect.cached(
    Effect.map(
      Effect.forEach(probes, (probe) => probe.run, { concurrency: 2 }),
      (found): Inventory => ({
        devices: found.flatMap((inventory) => inventory.devices),
        absent: found.flatMap((inventory) => inventory.absent),
      }),
    ),
  )
  const units = new Map<string, Units>()
  const unitsOf = (device: Device): Units => {
    const known = units.get(device.id)
    if (known !== undefined) return known
    const made = new Units(device.units)
    units.set(device.id, made)
    return made
  }
  return Accelerator.of({
    discover,
    lease: Effect.fnUntraced(function* (request) {
      const wanted = request.units ?? 1
      if (!Number.isSafeInteger(wanted) || wanted < 1) {
        return yield* new AcceleratorError({
          reason: "InvalidInput",
          message: `units is ${wanted}; ask for a whole number from 1`,
          field: "units",
        })
      }
      const inventory = yield* discover
      const device = choose(request, inventory, (d) => unitsOf(d).load)
      if (device === undefined) return yield* notFound(request, inventory)
      const held = unitsOf(device)
      yield* Effect.acquireRelease(
        held.acquire(wanted),
        () => Effect.sync(() => held.release(wanted)),
        { interruptible: true },
      )
      return { device, units: wanted }
    }),
  })
})

/** A layer over probes. */
export const layerOf = (probes: ReadonlyArray<Probe>): Layer.Layer<Accelerator> =>
  Layer.effect(Accelerator, make(probes))
