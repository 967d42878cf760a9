import { Trigger } from "@ashlar/core"
import { Orchestrator, Workflow } from "@ashlar/orchestrator"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { afterAll, describe, expect, it } from "vitest"
import { Databases, type Fresh } from "./support/databases.ts"

const databases = new Databases()
afterAll(() => databases[Symbol.asyncDispose]())

const environment = (database: Fresh, options: Orchestrator.Options = {}) =>
  Orchestrator.triggerLayer.pipe(
    Layer.provideMerge(Orchestrator.layer({ pollMs: 10, ...options })),
    Layer.provide(database.layer),
  )

const run = <A, E>(
  database: Fresh,
  effect: Effect.Effect<A, E, Orchestrator.Orchestrator | Trigger.Trigger>,
  options?: Orchestrator.Options,
) => Effect.runPromise(Effect.provide(effect, environment(database, options)))

const sumWorkflow = (calls: Array<string>, failures = { left: 0 }) =>
  Workflow.make({
    name: "sum",
    version: "1",
    input: Schema.Struct({ a: Schema.Number, b: Schema.Number }),
    output: Schema.Number,
    run: (input, context) =>
      Effect.gen(function* () {
        const a = yield* context.step(
          { name: "double-a", output: Schema.Number },
          Effect.sync(() => {
            calls.push("double-a")
            return input.a * 2
          }),
        )
        const b = yield* context.step(
          { name: "double-b", output: Schema.Number, attempts: 2, backoffMs: 1 },
          Effect.suspend(() => {
            calls.push("double-b")
            if (failures.left-- > 0) return Effect.fail("no luck")
            return Effect.succeed(input.b * 2)
          }),
        )
        return a + b
      }),
  })

describe.each(["sqlite", "postgres"] as const)("Orchestrator on %s", (kind) => {
  it("runs steps once and returns the stored result ever after", async () => {
    const path = await databases.fresh(kind)
    const calls: Array<string> = []
    const workflow = sumWorkflow(calls)
    const once = Effect.gen(function* () {
      const orchestrator = yield* Orchestrator.Orchestrator
      return yield* orchestrator.execute(workflow, { key: "k", input: { a: 1, b: 2 } })
    })
    expect(await run(path, once)).toBe(6)
    expect(await run(path, once)).toBe(6)
    expect(calls).toEqual(["double-a", "double-b"])
  })

  it("retries a step, and after the last attempt resumes without redoing finished steps", async () => {
    const path = await databases.fresh(kind)
    const calls: Array<string> = []
    const workflow = sumWorkflow(calls, { left: 3 })
    const events: Array<string> = []
    const once = Effect.gen(function* () {
      const orchestrator = yield* Orchestrator.Orchestrator
      return yield* Effect.exit(orchestrator.execute(workflow, { key: "k", input: { a: 1, b: 2 } }))
    })
    const onStep = (event: { step: string; state: string; attempt: number }) =>
      events.push(`${event.step} ${event.state} ${event.attempt}`)
    expect((await run(path, once, { onStep }))._tag).toBe("Failure")
    expect((await run(path, once, { onStep }))._tag).toBe("Success")
    expect(calls).toEqual(["double-a", "double-b", "double-b", "double-b", "double-b"])
    expect(events.slice(-5)).toEqual([
      "double-a replayed 1",
      "double-b running 3",
      "double-b failed 3",
      "double-b running 4",
      "double-b succeeded 4",
    ])
  })

  it("refuses the same key with other input, and another version of the code", async () => {
    const path = await databases.fresh(kind)
    const workflow = sumWorkflow([], { left: 99 })
    const attempt = (w: typeof workflow, a: number) =>
      run(
        path,
        Effect.gen(function* () {
          const orchestrator = yield* Orchestrator.Orchestrator
          return yield* Effect.flip(orchestrator.execute(w, { key: "k", input: { a, b: 2 } }))
        }),
      )
    expect(await attempt(workflow, 1)).toBe("no luck")
    expect(await attempt(workflow, 7)).toMatchObject({ reason: "Conflict", field: "input" })
    expect(await attempt({ ...workflow, version: "2" }, 1)).toMatchObject({ reason: "Conflict" })
  })

  it("refuses two steps of one name and results that are too large", async () => {
    const path = await databases.fresh(kind)
    const attempt = (name: string, body: Workflow.Workflow<null, string, unknown, never>["run"]) =>
      run(
        path,
        Effect.gen(function* () {
          const orchestrator = yield* Orchestrator.Orchestrator
          const workflow = Workflow.make({
            name,
            version: "1",
            input: Schema.Null,
            output: Schema.String,
            run: body,
          })
          return yield* Effect.flip(orchestrator.execute(workflow, { key: "k", input: null }))
        }),
      )
    const step = { name: "same", output: Schema.String }
    const twice = await attempt("twice", (_, context) =>
      Effect.andThen(
        context.step(step, Effect.succeed("a")),
        context.step(step, Effect.succeed("b")),
      ),
    )
    expect(twice).toMatchObject({ reason: "InvalidInput", field: "name" })
    const large = await attempt("large", (_, context) =>
      context.step(step, Effect.succeed("x".repeat(2_000_000))),
    )
    expect(large).toMatchObject({ reason: "TooLarge" })
    const slow = await attempt("slow", (_, context) =>
      context.step({ ...step, timeoutMs: 20 }, Effect.never),
    )
    expect(slow).toMatchObject({ reason: "Timeout" })
  })

  it("lets one of many callers run, and gives all of them the result", async () => {
    const path = await databases.fresh(kind)
    const calls: Array<string> = []
    const workflow = sumWorkflow(calls)
    const results = await run(
      path,
      Effect.gen(function* () {
        const orchestrator = yield* Orchestrator.Orchestrator
        const one = orchestrator.execute(workflow, { key: "k", input: { a: 3, b: 4 } })
        return yield* Effect.all([one, one, one, one], { concurrency: "unbounded" })
      }),
    )
    expect(results).toEqual([14, 14, 14, 14])
    expect(calls).toEqual(["double-a", "double-b"])
  })

  it("stops a cancelled run at its next heartbeat and keeps it cancelled", async () => {
    const path = await databases.fresh(kind)
    const workflow = Workflow.make({
      name: "forever",
      version: "1",
      input: Schema.Null,
      output: Schema.Null,
      run: (_, context) => context.step({ name: "wait", output: Schema.Null }, Effect.never),
    })
    const error = await run(
      path,
      Effect.gen(function* () {
        const orchestrator = yield* Orchestrator.Orchestrator
        const fiber = yield* Effect.forkChild(
          Effect.flip(orchestrator.execute(workflow, { key: "k", input: null })),
        )
        yield* Effect.sleep(100)
        const found = yield* orchestrator.findRun("forever", "k")
        expect(found?.state).toBe("running")
        expect((yield* orchestrator.cancel(found?.id ?? ""))?.state).toBe("cancelled")
        const stopped = yield* Fiber.join(fiber)
        expect(stopped).toMatchObject({ reason: "Conflict" })
        return yield* Effect.flip(orchestrator.execute(workflow, { key: "k", input: null }))
      }),
      { leaseMs: 150 },
    )
    expect(error).toMatchObject({ reason: "Cancelled" })
  })

  it("an interrupted run continues where it was", async () => {
    const path = await databases.fresh(kind)
    const calls: Array<string> = []
    const workflow = Workflow.make({
      name: "two",
      version: "1",
      input: Schema.Null,
      output: Schema.String,
      run: (_, context) =>
        Effect.gen(function* () {
          yield* context.step(
            { name: "one", output: Schema.Null },
            Effect.sync(() => (calls.push("one"), null)),
          )
          return yield* context.step(
            { name: "two", output: Schema.String },
            Effect.suspend(() => (calls.push("two") === 2 ? Effect.never : Effect.succeed("done"))),
          )
        }),
    })
    const execute = Effect.flatMap(Orchestrator.Orchestrator, (orchestrator) =>
      orchestrator.execute(workflow, { key: "k", input: null }),
    )
    await run(path, Effect.exit(Effect.timeout(execute, 100)))
    expect(await run(path, execute)).toBe("done")
    expect(calls).toEqual(["one", "two", "two"])
  })

  it("starts one run per trigger key, and lists runs by pages", async () => {
    const path = await databases.fresh(kind)
    const calls: Array<string> = []
    const workflow = sumWorkflow(calls)
    const outcome = await run(
      path,
      Effect.scoped(
        Effect.gen(function* () {
          const orchestrator = yield* Orchestrator.Orchestrator
          const trigger = yield* Trigger.Trigger
          yield* orchestrator.work({
            kind: "retrain",
            workflow,
            start: (event) => ({ key: event.key, input: { a: 1, b: event.subject.length } }),
          })
          const event = { key: "june", kind: "retrain", subject: "flights", reason: "drift" }
          const first = yield* trigger.fire(event)
          const again = yield* trigger.fire(event)
          expect(first.duplicate).toBe(false)
          expect(again).toEqual({ triggerId: first.triggerId, duplicate: true })
          const result = yield* orchestrator.wait(workflow, "june")
          yield* orchestrator.start(workflow, { key: "later", input: { a: 0, b: 0 } })
          const page = yield* orchestrator.listRuns({ limit: 1 })
          const next = yield* orchestrator.listRuns({ limit: 1, token: page.next ?? "" })
          expect([...page.items, ...next.items].map((item) => item.key)).toEqual(["later", "june"])
          const bad = yield* Effect.flip(orchestrator.listRuns({ token: "nonsense" }))
          expect(bad).toMatchObject({ reason: "InvalidInput", field: "token" })
          return result
        }),
      ),
    )
    expect(outcome).toBe(16)
  })

  it("keeps a durable sleep's wake-up time across restarts", async () => {
    const path = await databases.fresh(kind)
    const workflow = Workflow.make({
      name: "nap",
      version: "1",
      input: Schema.Null,
      output: Schema.Null,
      run: (_, context) => Effect.as(context.sleep("nap", 300), null),
    })
    const execute = Effect.flatMap(Orchestrator.Orchestrator, (orchestrator) =>
      orchestrator.execute(workflow, { key: "k", input: null }),
    )
    const start = Date.now()
    await run(path, Effect.exit(Effect.timeout(execute, 100)))
    await run(path, execute)
    expect(Date.now() - start).toBeGreaterThanOrEqual(300)
  })
})
