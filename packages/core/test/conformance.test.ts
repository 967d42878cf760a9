import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import { describe, expect, it } from "vitest"
import { Failure } from "@ashlar/core"
import { Conformance } from "@ashlar/core/testing"

class CounterError extends Schema.TaggedError<CounterError>()(
  "CounterError",
  Failure.fields(["InvalidInput", "NotSupported"]),
) {
  readonly code = Failure.codeOf(this)
}

class Counter extends Context.Service<
  Counter,
  {
    readonly capabilities: { readonly reset: boolean; readonly history: boolean }
    readonly add: (amount: number) => Effect.Effect<number, CounterError>
    readonly reset: Effect.Effect<void, CounterError>
  }
>()("test/Counter/v1") {}

const backend = (options: {
  readonly declares: boolean
  readonly resets: boolean
  readonly checks?: boolean
  readonly hangs?: boolean
}) =>
  Layer.effect(
    Counter,
    Effect.map(Ref.make(0), (state) => ({
      capabilities: { reset: options.declares, history: false },
      add: (amount: number) =>
        options.hangs === true
          ? Effect.never
          : options.checks !== false && !Number.isInteger(amount)
            ? Effect.fail(
                new CounterError({
                  reason: "InvalidInput",
                  message: "the amount is a whole number",
                }),
              )
            : Ref.updateAndGet(state, (value) => value + amount),
      reset: options.resets
        ? Ref.set(state, 0)
        : Effect.fail(new CounterError({ reason: "NotSupported", message: "no reset" })),
    })),
  )

const suite = Conformance.define({
  spi: Counter,
  capabilities: (service) => service.capabilities,
  cases: [
    {
      name: "adds",
      run: Effect.gen(function* () {
        const counter = yield* Counter
        yield* counter.add(2)
        yield* Conformance.equal(yield* counter.add(3), 5, "the sum")
      }),
    },
    {
      name: "refuses fractions",
      run: Counter.use((counter) => Conformance.fails(counter.add(0.5), "InvalidInput")),
    },
    {
      name: "resets",
      requires: (capabilities) => capabilities.reset,
      otherwise: "NotSupported",
      run: Effect.gen(function* () {
        const counter = yield* Counter
        yield* counter.add(2)
        yield* counter.reset
        yield* Conformance.equal(yield* counter.add(1), 1, "the sum after a reset")
      }),
    },
    {
      name: "remembers",
      requires: (capabilities) => capabilities.history,
      run: Effect.die(new Error("no backend here declares it")),
    },
  ],
  brokenLayers: [
    {
      name: "accepts everything",
      layer: backend({ declares: true, resets: true, checks: false }),
      mustFail: ["refuses fractions"],
    },
    {
      name: "declares what it cannot do",
      layer: backend({ declares: true, resets: false }),
      mustFail: ["resets"],
    },
    {
      name: "hangs",
      layer: backend({ declares: true, resets: true, hangs: true }),
      mustFail: ["adds"],
    },
  ],
})

suite.run("full", backend({ declares: true, resets: true }))
suite.run("without reset", backend({ declares: false, resets: false }))

describe("Conformance", () => {
  const full = backend({ declares: true, resets: true })
  const options = { timeoutMs: 100 }

  it("passes, skips and fails cases by the manifest, through both faces", async () => {
    for (const face of ["effect", "promise"] as const) {
      expect(await suite.check("adds", full, { face })).toEqual({ _tag: "Passed" })
      expect(await suite.check("remembers", full, { face })).toEqual({ _tag: "Skipped" })
      const liar = backend({ declares: true, resets: false })
      expect(await suite.check("resets", liar, { face })).toMatchObject({
        _tag: "Failed",
        error: { code: "CounterError.NotSupported" },
      })
    }
  })

  it("rejects an operation that works without being declared", async () => {
    const shy = backend({ declares: false, resets: true })
    const outcome = await suite.check("resets", shy)
    expect(outcome).toMatchObject({ _tag: "Failed" })
    expect(String(outcome._tag === "Failed" ? outcome.error : "")).toContain("does not declare")
  })

  it("fails a case that hangs", async () => {
    const hanging = backend({ declares: true, resets: true, hangs: true })
    const outcome = await suite.check("adds", hanging, options)
    expect(outcome).toMatchObject({ _tag: "Failed" })
  })

  it("rejects a layer that cannot be built, and names that are unknown or doubled", async () => {
    const dead = Layer.effect(Counter, Effect.fail(new Error("no server")))
    await expect(suite.check("adds", dead)).rejects.toThrow("no server")
    await expect(suite.check("nothing", full)).rejects.toThrow("no conformance case")
    const one = suite.cases[0]
    expect(one).toBeDefined()
    const twice = one === undefined ? [] : [one, one]
    expect(() => Conformance.define({ spi: Counter, cases: twice, brokenLayers: [] })).toThrow(
      "same name",
    )
  })

  it("rejects every broken layer by the cases it names", async () => {
    for (const [name, layer] of [
      ["refuses fractions", backend({ declares: true, resets: true, checks: false })],
      ["resets", backend({ declares: true, resets: false })],
    ] as const) {
      expect((await suite.check(name, layer, options))._tag).toBe("Failed")
    }
  })
})

const proven = Conformance.define({
  spi: Counter,
  capabilities: (service) => service.capabilities,
  cases: suite.cases.filter((one) => one.name !== "remembers"),
  brokenLayers: [
    {
      name: "accepts everything",
      layer: backend({ declares: true, resets: true, checks: false }),
      mustFail: ["refuses fractions"],
    },
    {
      name: "declares what it cannot do",
      layer: backend({ declares: true, resets: false }),
      mustFail: ["resets"],
    },
    {
      name: "hangs",
      layer: backend({ declares: true, resets: true, hangs: true }),
      mustFail: ["adds"],
    },
  ],
})
proven.verifyBroken({ timeoutMs: 200 })
