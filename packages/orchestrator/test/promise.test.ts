import { setTimeout as delay } from "node:timers/promises"
import { type CallOptions, type Facade } from "@ashlar/core/promise"
import type { Orchestrator } from "@ashlar/orchestrator"
import {
  make,
  OrchestratorError,
  type PromiseContext,
  type PromiseOrchestrator,
  workflow,
  type WorkflowMethods,
} from "@ashlar/orchestrator/promise"
import * as Schema from "effect/Schema"
import { afterAll, describe, expect, expectTypeOf, it } from "vitest"
import { Databases } from "./support/databases.ts"

const databases = new Databases()
afterAll(() => databases[Symbol.asyncDispose]())

const define = <Output>(
  name: string,
  output: Schema.Codec<Output, unknown>,
  run: (input: number, context: PromiseContext) => Promise<Output> | Output,
) => workflow({ name, version: "1", input: Schema.Number, output, run })

describe.each(["sqlite", "postgres"] as const)("the Promise face on %s", (kind) => {
  const open = async (pollMs = 5) =>
    make({ database: (await databases.fresh(kind)).layer, pollMs, leaseMs: 300 })

  it("runs async workflows; steps in a row and side by side run once", async () => {
    const { layer: database } = await databases.fresh(kind)
    const calls: Array<string> = []
    const sum = define("sum", Schema.Number, async (input, { step }) => {
      const one = await step({ name: "one", output: Schema.Number }, async () => {
        calls.push("one")
        return input + 1
      })
      const parts = await Promise.all(
        [1, 2, 3].map((i) =>
          step({ name: `part-${i}`, output: Schema.Number }, async () => {
            calls.push(`part-${i}`)
            await delay(5)
            return i * one
          }),
        ),
      )
      return parts.reduce((a, b) => a + b, 0)
    })
    const options = { key: "k", input: 9 }
    {
      await using orchestrator = await make({ database })
      expect(await orchestrator.execute(sum, options)).toBe(60)
    }
    await using again = await make({ database })
    expect(await again.execute(sum, options)).toBe(60)
    expect(calls.sort((a, b) => a.localeCompare(b))).toEqual(["one", "part-1", "part-2", "part-3"])
    const run = await again.findRun("sum", "k")
    expect(run).toMatchObject({ state: "succeeded", key: "k" })
    expect(await again.steps(run?.id ?? "")).toHaveLength(4)
  })

  it("rejects with the workflow's own error, and with its own errors", async () => {
    await using orchestrator = await open()
    const mine = new RangeError("mine")
    const bad = define("bad", Schema.Null, async (_, { step }) =>
      step({ name: "throws", output: Schema.Null, attempts: 2, backoffMs: 1 }, () => {
        throw mine
      }),
    )
    await expect(orchestrator.execute(bad, { key: "k", input: 1 })).rejects.toBe(mine)
    const run = await orchestrator.findRun("bad", "k")
    expect(run?.error).toBe("RangeError: mine")
    expect((await orchestrator.steps(run?.id ?? ""))[0]).toMatchObject({ attempt: 2 })
    const other = orchestrator.execute(bad, { key: "k", input: 2 })
    await expect(other).rejects.toBeInstanceOf(OrchestratorError)
    await expect(orchestrator.getRun("nope")).rejects.toMatchObject({ reason: "NotFound" })
    await expect(orchestrator.listRuns({ limit: 0 })).rejects.toMatchObject({
      reason: "InvalidInput",
      field: "limit",
    })
    await expect(orchestrator.execute(bad, { key: "", input: 1 })).rejects.toMatchObject({
      reason: "InvalidInput",
      field: "key",
    })
  })

  it("stops steps that are still going when the workflow's promise rejects", async () => {
    await using orchestrator = await open()
    let aborted = false
    const half = define("half", Schema.Null, async (_, { step }) => {
      await Promise.all([
        step({ name: "long", output: Schema.Null }, async ({ signal }) => {
          signal.addEventListener("abort", () => (aborted = true))
          await delay(10_000, undefined, { signal })
          return null
        }),
        step({ name: "throws", output: Schema.Null }, async () => {
          await delay(20)
          throw new Error("no")
        }),
      ])
      return null
    })
    await expect(orchestrator.execute(half, { key: "k", input: 1 })).rejects.toThrow("no")
    expect(aborted).toBe(true)
    const run = await orchestrator.findRun("half", "k")
    const steps = await orchestrator.steps(run?.id ?? "")
    expect(steps.filter((step) => step.state === "succeeded")).toEqual([])
  })

  it("a call's signal gives the run back, and the next call continues it", async () => {
    await using orchestrator = await open()
    const calls: Array<string> = []
    const slow = define("slow", Schema.String, async (_, { step, sleep, signal }) => {
      await step({ name: "first", output: Schema.Null }, () => {
        calls.push("first")
        return null
      })
      await sleep("nap", 200)
      expect(signal.aborted).toBe(false)
      return "done"
    })
    const controller = new AbortController()
    setTimeout(() => controller.abort(new Error("enough")), 60)
    const options = { key: "k", input: 1 }
    await expect(
      orchestrator.execute(slow, options, { signal: controller.signal }),
    ).rejects.toThrow("enough")
    expect(await orchestrator.execute(slow, options)).toBe("done")
    expect(calls).toEqual(["first"])
  })

  it("works on started runs and on triggers until the worker is disposed", async () => {
    await using orchestrator = await open()
    const twice = define("twice", Schema.Number, (input) => input * 2)
    const key = "started"
    {
      await using _worker = await orchestrator.work({
        workflow: twice,
        concurrency: 2,
        kind: "double",
        start: (event) => ({ key: event.key, input: event.subject.length }),
      })
      await orchestrator.start(twice, { key, input: 4 })
      expect(await orchestrator.wait(twice, key)).toBe(8)
      await orchestrator.fire({ key: "t", kind: "double", subject: "abc", reason: "why not" })
      expect(await orchestrator.wait(twice, "t")).toBe(6)
    }
    await orchestrator.start(twice, { key: "late", input: 1 })
    await delay(50)
    expect(await orchestrator.findRun("twice", "late")).toMatchObject({ state: "pending" })
  })

  it("closing it gives the runs of its workers back at once", async () => {
    const { layer: database } = await databases.fresh(kind)
    const hang = define("hang", Schema.Null, (_, { step }) =>
      step({ name: "s", output: Schema.Null }, ({ signal }) => delay(60_000, null, { signal })),
    )
    {
      await using orchestrator = await make({ database, pollMs: 5 })
      await orchestrator.work({ workflow: hang })
      await orchestrator.start(hang, { key: "k", input: 1 })
      while ((await orchestrator.findRun("hang", "k"))?.state !== "running") await delay(5)
    }
    await using again = await make({ database })
    expect(await again.findRun("hang", "k")).toMatchObject({ state: "pending" })
  })
})

/** What core's face makes of a generic method of the service, once its types are known. */
declare const service: Orchestrator.Orchestrator["Service"]
interface Instance {
  readonly execute: typeof service.execute<string, number, unknown, never>
  readonly start: typeof service.start<string, number, unknown, never>
  readonly wait: typeof service.wait<string, number, unknown, never>
}
declare const methods: WorkflowMethods
interface Face {
  readonly execute: typeof methods.execute<string, number>
  readonly start: typeof methods.start<string, number>
  readonly wait: typeof methods.wait<string, number>
}

describe("the types", () => {
  it("are the service's", () => {
    expectTypeOf<Face>().toEqualTypeOf<Facade<Instance>>()
    expectTypeOf<keyof PromiseOrchestrator>().toEqualTypeOf<
      keyof Orchestrator.Orchestrator["Service"]
    >()
    expectTypeOf<Parameters<typeof methods.work<string, number>>>().toEqualTypeOf<
      Parameters<typeof service.work<string, number, unknown, never>>
    >()
    expectTypeOf<PromiseOrchestrator["getRun"]>().toEqualTypeOf<
      (id: string, options?: CallOptions) => Promise<Orchestrator.RunInfo>
    >()
  })
})
