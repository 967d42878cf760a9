import { LineageSink, OpenLineage } from "@ashlar/core"
import { Orchestrator, Workflow } from "@ashlar/orchestrator"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import { afterAll, describe, expect, it } from "vitest"
import { Databases } from "./support/databases.ts"

const databases = new Databases()
afterAll(() => databases[Symbol.asyncDispose]())

const workflow = (name: string, failures = { left: 0 }) =>
  Workflow.make({
    name,
    version: "1",
    input: Schema.Null,
    output: Schema.Null,
    run: (_, { step }) =>
      Effect.gen(function* () {
        yield* step({ name: "one", output: Schema.Null }, Effect.succeed(null))
        return yield* step(
          { name: "two", output: Schema.Null, attempts: 2, backoffMs: 1 },
          Effect.suspend(() =>
            failures.left-- > 0 ? Effect.fail("no luck") : Effect.succeed(null),
          ),
        )
      }),
  })

type Emit = LineageSink.LineageSink["Service"]["emit"]

const orchestrate = async <A, E>(
  use: (orchestrator: Orchestrator.Orchestrator["Service"]) => Effect.Effect<A, E>,
  emit?: Emit,
): Promise<A> => {
  const { layer } = await databases.fresh("sqlite")
  const environment = Orchestrator.layer({
    pollMs: 5,
    leaseMs: 200,
    lineageNamespace: "tests",
  }).pipe(
    Layer.provide(
      emit === undefined ? Layer.empty : Layer.succeed(LineageSink.LineageSink, { emit }),
    ),
    Layer.provide(layer),
  )
  return Effect.runPromise(
    Effect.provide(Effect.flatMap(Orchestrator.Orchestrator, use), environment),
  )
}

const options = { key: "k", input: null }

describe("lineage", () => {
  it("is one START and one terminal event per run and step, steps under their run", async () => {
    const events: Array<OpenLineage.RunEvent> = []
    const id = await orchestrate(
      (o) =>
        Effect.gen(function* () {
          yield* o.execute(workflow("ok"), options)
          yield* o.execute(workflow("ok"), options)
          return (yield* o.findRun("ok", "k"))?.id
        }),
      (event) => Effect.sync(() => void events.push(event)),
    )
    expect(events.map((event) => `${event.eventType} ${event.job.name}`)).toEqual([
      "START ok",
      "START ok.one",
      "COMPLETE ok.one",
      "START ok.two",
      "COMPLETE ok.two",
      "COMPLETE ok",
    ])
    const isEvent = Schema.is(OpenLineage.RunEvent)
    expect(events.every((event) => isEvent(event) && event.job.namespace === "tests")).toBe(true)
    expect(events[0]?.run.runId).toBe(id)
    expect(events[1]?.run.runId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-/)
    expect(events[1]?.run.runId).toBe(events[2]?.run.runId)
    expect(events[1]?.run.facets?.["parent"]).toMatchObject({
      run: { runId: id },
      job: { namespace: "tests", name: "ok" },
    })
  })

  it("tells of failures after the last attempt, and of cancelled runs", async () => {
    const events: Array<OpenLineage.RunEvent> = []
    await orchestrate(
      (o) =>
        Effect.gen(function* () {
          yield* Effect.flip(o.execute(workflow("bad", { left: 2 }), options))
          const hang = Workflow.make({ ...workflow("hang"), run: () => Effect.never })
          yield* Effect.forkChild(Effect.exit(o.execute(hang, options)))
          let run: Orchestrator.RunInfo | undefined
          while (run?.state !== "running") {
            yield* Effect.sleep(5)
            run = yield* o.findRun("hang", "k")
          }
          yield* o.cancel(run.id)
          // Never begun: nothing to end.
          yield* o.cancel((yield* o.start(workflow("ok"), options)).id)
        }),
      (event) => Effect.sync(() => void events.push(event)),
    )
    expect(events.map((event) => `${event.eventType} ${event.job.name}`)).toEqual([
      "START bad",
      "START bad.one",
      "COMPLETE bad.one",
      "START bad.two",
      "FAIL bad.two",
      "FAIL bad",
      "START hang",
      "ABORT hang",
    ])
    expect(events[5]?.run.facets?.["errorMessage"]).toMatchObject({ message: "no luck" })
  })

  it("fails and delays no run when the sink fails, dies or hangs", async () => {
    const refused = new LineageSink.LineageSinkError({ reason: "Unavailable", message: "away" })
    const sinks: ReadonlyArray<Emit> = [
      () => Effect.fail(refused),
      () => Effect.die(new Error("broken sink")),
      () => Effect.never,
    ]
    for (const sink of sinks) {
      const began = Date.now()
      let ran = Infinity
      const result = await orchestrate(
        (o) =>
          Effect.tap(o.execute(workflow("ok"), options), () =>
            Effect.sync(() => (ran = Date.now() - began)),
          ),
        sink,
      )
      expect(result).toBe(null)
      expect(ran).toBeLessThan(5_000)
    }
  })
})

describe("metrics", () => {
  it("count runs and steps by workflow and outcome", async () => {
    const snapshot = await orchestrate((o) =>
      Effect.gen(function* () {
        yield* o.execute(workflow("metered"), options)
        yield* Effect.flip(o.execute(workflow("metered", { left: 2 }), { ...options, key: "b" }))
        yield* o.execute(workflow("metered"), { ...options, key: "b" })
        return yield* Metric.snapshot
      }),
    )
    const values = Object.fromEntries(
      snapshot
        .filter((metric) => metric.attributes?.["workflow"] === "metered")
        .map(({ id, attributes, state }) => [
          `${id.replace("ashlar_orchestrator_", "")} ${attributes?.["outcome"] ?? ""}`.trim(),
          "count" in state
            ? Number(state.count)
            : "value" in state
              ? Number(state.value)
              : undefined,
        ]),
    )
    expect(values).toEqual({
      "runs_total succeeded": 2,
      "runs_total failed": 1,
      "steps_total succeeded": 4,
      "steps_total failed": 2,
      "steps_total replayed": 1,
      runs_active: 0,
    })
  })
})

describe("what goes wrong around runs", () => {
  it("a listener that throws disturbs nothing", async () => {
    const { layer } = await databases.fresh("sqlite")
    const onStep = () => {
      throw new Error("listener")
    }
    const result = await Effect.runPromise(
      Effect.provide(
        Effect.flatMap(Orchestrator.Orchestrator, (o) => o.execute(workflow("ok"), options)),
        Orchestrator.layer({ onStep }).pipe(Layer.provide(layer)),
      ),
    )
    expect(result).toBe(null)
  })

  it("a trigger that starts no run does not stand in the way of the others", async () => {
    const length = Workflow.make({
      name: "length",
      version: "1",
      input: Schema.Number,
      output: Schema.Number,
      run: (input) => Effect.succeed(input),
    })
    const result = await orchestrate((o) =>
      Effect.scoped(
        Effect.gen(function* () {
          const event = { kind: "measure", reason: "", subject: "abc" }
          for (const key of ["throws", "keyless", "good"]) yield* o.fire({ ...event, key })
          yield* o.work({
            workflow: length,
            kind: "measure",
            start: ({ key, subject }) => {
              if (key === "throws") throw new Error("start")
              return { key: key === "keyless" ? "" : key, input: subject.length }
            },
          })
          return yield* o.wait(length, "good")
        }),
      ),
    )
    expect(result).toBe(3)
  })

  it("a worker takes only runs of its version, and several at a time", async () => {
    let most = 0
    let now = 0
    const slow = Workflow.make({
      ...workflow("slow"),
      run: () =>
        Effect.gen(function* () {
          most = Math.max(most, (now += 1))
          yield* Effect.sleep(40)
          now -= 1
          return null
        }),
    })
    const old = await orchestrate((o) =>
      Effect.scoped(
        Effect.gen(function* () {
          const other = yield* o.start({ ...slow, version: "0" }, { key: "old", input: null })
          for (let i = 0; i < 6; i++) yield* o.start(slow, { key: `${i}`, input: null })
          yield* o.work({ workflow: slow, concurrency: 3 })
          for (let i = 0; i < 6; i++) yield* o.wait(slow, `${i}`)
          return yield* o.getRun(other.id)
        }),
      ),
    )
    expect(old.state).toBe("pending")
    expect(most).toBe(3)
  })

  it("refuses settings that make no sense, naming them", async () => {
    const { layer } = await databases.fresh("sqlite")
    for (const [field, value] of [
      ["leaseMs", 0],
      ["pollMs", -1],
      ["leaseMs", Number.NaN],
    ] as const) {
      const error = await Effect.runPromise(
        Effect.flip(
          Effect.scoped(
            Layer.build(Orchestrator.layer({ [field]: value }).pipe(Layer.provide(layer))),
          ),
        ),
      )
      expect(error).toMatchObject({ reason: "InvalidInput", field })
    }
  })
})
