import { Accelerator } from "@ashlar/core"
import * as Accelerators from "@ashlar/core/accelerators"
import * as Cpu from "@ashlar/core/cpu"
import * as Cuda from "@ashlar/core/cuda"
import * as WebGpu from "@ashlar/core/webgpu"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"

const node = (code: string) => [process.execPath, "-e", code] as const

const discover = (layer: Layer.Layer<Accelerator.Accelerator>) =>
  Effect.runPromise(
    Accelerator.Accelerator.pipe(
      Effect.flatMap((accelerator) => accelerator.discover),
      Effect.provide(layer),
    ),
  )

describe("discovery", () => {
  it("finds the processor, with an ONNX Runtime that ran a model on it", async () => {
    const { devices } = await discover(Accelerators.layer())
    const cpu = devices.find((device) => device.kind === "cpu")
    expect(cpu).toMatchObject({ id: "cpu:0", providers: ["cpu"] })
    expect(cpu?.units).toBeGreaterThan(0)
    expect(cpu?.memoryBytes).toBeGreaterThan(2 ** 20)
  })

  it("says of every kind that it is there or why not", async () => {
    const { devices, absent } = await discover(Accelerators.layer())
    for (const kind of ["cpu", "webgpu", "cuda"]) {
      expect([...devices, ...absent].some((entry) => entry.kind === kind)).toBe(true)
    }
    expect(absent.every((entry) => entry.why !== "")).toBe(true)
  })

  it("survives a driver that crashes, hangs, is not there, lies or chatters", async () => {
    const crash = node("process.kill(process.pid, 'SIGSEGV'); setTimeout(() => {}, 1e6)")
    const hang = node("process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)")
    const lies = node("console.log('ashlar-probe:{\"name\":3}')")
    const chatter = node(
      "console.log('loading driver'); process.exitCode = 3; console.error('bad')",
    )
    const started = performance.now()
    const why = async (layer: Layer.Layer<Accelerator.Accelerator>) =>
      (await discover(layer)).absent.map((entry) => entry.why).join()
    expect(await why(WebGpu.layer({ command: crash }))).toContain("crashed with SIGSEGV")
    expect(await why(WebGpu.layer({ command: hang, timeoutMs: 500 }))).toContain("within 500 ms")
    expect(await why(WebGpu.layer({ command: lies }))).toContain("malformed")
    expect(await why(WebGpu.layer({ command: chatter }))).toContain("exit code 3: bad")
    expect(await why(Cuda.layer({ command: ["/no/such/nvidia-smi"] }))).toContain("did not start")
    const cpu = await discover(Cpu.layer({ command: crash }))
    expect(cpu.devices[0]?.providers).toEqual([])
    expect(cpu.absent[0]?.what).toContain("'cpu'")
    expect(performance.now() - started).toBeLessThan(60_000)
  })

  it("reads what nvidia-smi prints", async () => {
    const text = "0, NVIDIA H200, 143771, 9.0\n1, NVIDIA A10, [N/A], 8.6\n"
    const command = node(`process.stdout.write(${JSON.stringify(text)})`)
    const { devices } = await discover(Cuda.layer({ command }))
    expect(devices).toMatchObject([
      { id: "cuda:0", name: "NVIDIA H200", memoryBytes: 143771 * 2 ** 20, features: ["sm_9.0"] },
      { id: "cuda:1", name: "NVIDIA A10", features: ["sm_8.6"] },
    ])
    expect(devices[1]).not.toHaveProperty("memoryBytes")
  })
})

const device = (id: string, kind: Accelerator.Device["kind"], units: number) => ({
  id,
  kind,
  name: id,
  units,
  features: [],
  providers: [kind],
})

const machine = (...devices: ReadonlyArray<Accelerator.Device>) =>
  Accelerators.layer({
    probes: [{ kind: "cpu", run: Effect.succeed({ devices, absent: [] }) }],
  })

describe("leases", () => {
  const using = <A, E>(
    layer: Layer.Layer<Accelerator.Accelerator>,
    body: (accelerator: Accelerator.Accelerator["Service"]) => Effect.Effect<A, E>,
  ) => Effect.runPromise(Accelerator.Accelerator.pipe(Effect.flatMap(body), Effect.provide(layer)))

  it("prefer the kinds in order, then the device with most free", async () => {
    const layer = machine(
      device("cpu:0", "cpu", 4),
      device("cuda:0", "cuda", 1),
      device("cuda:1", "cuda", 1),
    )
    const ids = await using(layer, (accelerator) =>
      Effect.scoped(
        Effect.gen(function* () {
          const leases = [
            yield* accelerator.lease({}),
            yield* accelerator.lease({}),
            yield* accelerator.lease({ kinds: ["webgpu", "cpu"], units: 3 }),
            yield* accelerator.lease({ provider: "cpu" }),
          ]
          return leases.map((lease) => lease.device.id)
        }),
      ),
    )
    expect(ids).toEqual(["cuda:0", "cuda:1", "cpu:0", "cpu:0"])
  })

  it("are granted in the order asked, and an interrupted wait lets the next go on", async () => {
    const order = await using(machine(device("cpu:0", "cpu", 2)), (accelerator) =>
      Effect.gen(function* () {
        const done: Array<string> = []
        const gate = yield* Deferred.make<void>()
        const job = (name: string, units: number, hold: Effect.Effect<void>) =>
          Effect.scoped(
            Effect.gen(function* () {
              yield* accelerator.lease({ units })
              done.push(name)
              yield* hold
            }),
          )
        const first = yield* Effect.forkChild(job("first", 1, Deferred.await(gate)))
        yield* Effect.sleep(5)
        const whole = yield* Effect.forkChild(job("whole", 2, Effect.void))
        yield* Effect.sleep(5)
        const small = yield* Effect.forkChild(job("small", 1, Effect.void))
        yield* Effect.sleep(20)
        const before = [...done]
        yield* Fiber.interrupt(whole)
        yield* Fiber.join(small)
        const between = [...done]
        const again = yield* Effect.forkChild(job("again", 2, Effect.void))
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(first)
        yield* Fiber.join(again)
        return { before, between, done }
      }),
    )
    expect(order.before).toEqual(["first"])
    expect(order.between).toEqual(["first", "small"])
    expect(order.done).toEqual(["first", "small", "again"])
  })

  it("that no device can give fail at once, naming what there is", async () => {
    const refuse = (request: Accelerator.DeviceRequest) =>
      using(machine(device("cpu:0", "cpu", 2)), (accelerator) =>
        Effect.flip(Effect.scoped(Effect.map(accelerator.lease(request), () => "a lease"))),
      )
    expect(await refuse({ kinds: ["cuda"] })).toMatchObject({ reason: "NotFound" })
    expect((await refuse({ units: 3 })).message).toContain("cpu:0 (2 units; cpu)")
    expect((await refuse({ provider: "tensorrt" })).message).toContain("'tensorrt'")
    expect(await refuse({ units: 0 })).toMatchObject({ reason: "InvalidInput", field: "units" })
  })
})
