import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Timestamp, Trigger, type PredictionEvent } from "@ashlar/core"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { afterAll, describe, expect, it } from "vitest"
import { Alerts, Monitoring, Profile, Rule } from "../src/index.ts"
import { random } from "../src/internal/random.ts"

const folder = mkdtempSync(join(tmpdir(), "alerts-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0

const at = (iso: string) => Timestamp.fromIso(iso) ?? Number.NaN

/** A trigger that keeps what fired; it can be told to fail. */
const recorder = () => {
  const fired: Array<Trigger.TriggerEvent> = []
  const state = { broken: false }
  const layer = Layer.succeed(Trigger.Trigger, {
    fire: (event) =>
      Effect.suspend(() => {
        if (state.broken) {
          return Effect.fail(
            new Trigger.TriggerError({
              reason: "Unavailable",
              message: "the orchestrator is away",
            }),
          )
        }
        const duplicate = fired.some((each) => each.key === event.key)
        if (!duplicate) fired.push(event)
        return Effect.succeed({ triggerId: `t-${event.key}`, duplicate })
      }),
  })
  return { fired, state, layer }
}

const run = <A, E>(
  program: Effect.Effect<A, E, Monitoring.Monitoring | Alerts.Alerts>,
  trigger: Layer.Layer<Trigger.Trigger>,
  file = join(folder, `${++files}.sqlite`),
) =>
  Effect.runPromise(
    Effect.provide(
      program,
      Alerts.layer.pipe(
        Layer.provideMerge(Monitoring.layer()),
        Layer.provide(Layer.merge(trigger, Sqlite.layer({ file, synchronous: "normal" }))),
      ),
    ),
  )

/** A month of predictions; quality and place of the feature can be set. */
const month = (start: string, seed: number, shift: number, quality: number) => {
  const next = random(seed)
  const n = 2000
  const x = Float32Array.from({ length: n }, next)
  const predictionIds = Array.from({ length: n }, (_, i) => `${start}-${i}`)
  const times = Float64Array.from({ length: n }, (_, i) => at(start) + i * 1_200_000_000)
  const predictions: PredictionEvent.PredictionBatch = {
    model: "flights",
    version: "1",
    predictionIds,
    times,
    features: { x: x.map((v) => v + shift), y: Float32Array.from({ length: n }, next) },
    outputs: { probability: x },
  }
  const labels: PredictionEvent.LabelBatch = {
    model: "flights",
    predictionIds,
    times,
    labels: Float64Array.from(x, (p) =>
      next() < quality ? (p > 0.5 ? 1 : 0) : next() < 0.5 ? 1 : 0,
    ),
  }
  return { predictions, labels }
}

const rule = (part: Partial<typeof Rule.Rule.Encoded>) =>
  Rule.make({
    name: "moved",
    model: "flights",
    when: { kind: "drift-share" },
    threshold: 0.5,
    by: "month",
    trigger: { kind: "retrain" },
    ...part,
  })

const load = Effect.gen(function* () {
  const monitoring = yield* Monitoring.Monitoring
  yield* monitoring.putReference(
    "flights",
    Profile.ofColumns(month("2001-01-01T00:00:00Z", 1, 0, 1).predictions.features),
  )
  for (const [start, seed, shift, quality] of [
    ["2001-04-01T00:00:00Z", 2, 0, 0.9],
    ["2001-05-01T00:00:00Z", 3, 0, 0.9],
    ["2001-06-01T00:00:00Z", 4, 0.5, 0.3],
  ] as const) {
    const { predictions, labels } = month(start, seed, shift, quality)
    yield* monitoring.predictions(predictions)
    yield* monitoring.labels(labels)
  }
})

const july = at("2001-07-01T00:00:00Z")
const june = at("2001-06-15T00:00:00Z")

describe("rules", () => {
  it("fire once for each bad window, also after a restart, and keep their history", async () => {
    const { fired, layer } = recorder()
    const file = join(folder, "restart.sqlite")
    const first = await run(
      Effect.gen(function* () {
        yield* load
        const alerts = yield* Alerts.Alerts
        yield* alerts.putRule(yield* rule({}))
        const [quiet] = yield* alerts.evaluateRules({ at: june })
        expect(quiet).toMatchObject({ bad: false, value: 0, samples: 2000 })
        expect(quiet?.alert).toBeUndefined()
        const dry = yield* alerts.evaluateRules({ at: july, dryRun: true })
        expect(dry[0]).toMatchObject({ bad: true })
        expect(fired).toHaveLength(0)
        const rounds = yield* Effect.all(
          [1, 2, 3].map(() => alerts.evaluateRules({ at: july })),
          { concurrency: "unbounded" },
        )
        return rounds[0]?.[0]
      }),
      layer,
      file,
    )
    expect(first).toMatchObject({
      rule: "moved",
      bad: true,
      value: 0.5,
      window: { from: at("2001-06-01T00:00:00Z"), to: july },
    })
    expect(fired).toHaveLength(1)
    expect(fired[0]).toMatchObject({
      kind: "retrain",
      subject: "flights",
      payload: { window: { from: "2001-06-01T00:00:00Z", to: "2001-07-01T00:00:00Z" }, value: 0.5 },
    })
    expect(fired[0]?.reason).toMatch(/drifted: x of 2 features/)
    const history = await run(
      Effect.gen(function* () {
        const alerts = yield* Alerts.Alerts
        yield* alerts.evaluateRules({ at: july + 5_000_000 })
        return yield* alerts.history({ model: "flights" })
      }),
      layer,
      file,
    )
    expect(fired).toHaveLength(1)
    expect(history).toHaveLength(1)
    expect(history[0]).toMatchObject({
      rule: "moved",
      value: 0.5,
      threshold: 0.5,
      triggerId: `t-${fired[0]?.key}`,
    })
  })

  it("fire later when the trigger could not be reached", async () => {
    const { fired, state, layer } = recorder()
    await run(
      Effect.gen(function* () {
        yield* load
        const alerts = yield* Alerts.Alerts
        yield* alerts.putRule(yield* rule({}))
        state.broken = true
        const error = yield* Effect.flip(alerts.evaluateRules({ at: july }))
        expect(error.code).toBe("TriggerError.Unavailable")
        expect((yield* alerts.history())[0]?.triggerId).toBeUndefined()
        state.broken = false
        yield* alerts.evaluateRules({ at: july })
        expect(fired).toHaveLength(1)
        expect((yield* alerts.history())[0]?.triggerId).toBeDefined()
      }),
      layer,
    )
  })

  it("measure columns, performance against a number or a span, and label coverage", async () => {
    const { layer } = recorder()
    const april = { from: at("2001-04-01T00:00:00Z"), to: at("2001-05-01T00:00:00Z") }
    const found = await run(
      Effect.gen(function* () {
        yield* load
        const monitoring = yield* Monitoring.Monitoring
        const { predictions } = month("2001-06-20T00:00:00Z", 9, 0.5, 1)
        yield* monitoring.predictions({
          ...predictions,
          times: predictions.times.fill(at("2001-06-29T00:00:00Z")),
        })
        const alerts = yield* Alerts.Alerts
        for (const part of [
          {
            name: "column",
            when: { kind: "column-drift", column: "x", measure: "psi" },
            threshold: 0.2,
          },
          {
            name: "auc",
            when: { kind: "performance-drop", metric: "auc", baseline: april },
            threshold: 0.1,
          },
          {
            name: "loss",
            when: { kind: "performance-drop", metric: "log_loss", baseline: 0.2 },
            threshold: 0.05,
          },
          { name: "labels", when: { kind: "label-coverage" }, threshold: 0.8 },
          { name: "twice", when: { kind: "label-coverage" }, threshold: 0.8, forWindows: 2 },
          { name: "few", when: { kind: "label-coverage" }, threshold: 0.8, minSamples: 1_000_000 },
          { name: "nobody", model: "unknown", when: { kind: "label-coverage" } },
        ] as const) {
          yield* alerts.putRule(yield* rule(part))
        }
        return yield* alerts.evaluateRules({ at: july })
      }),
      layer,
    )
    const by = Object.fromEntries(found.map((each) => [each.rule, each]))
    expect(by["column"]).toMatchObject({ bad: true, samples: 4000 })
    expect(by["column"]?.value).toBeGreaterThan(0.2)
    expect(by["auc"]).toMatchObject({ bad: true, samples: 2000 })
    expect(by["loss"]).toMatchObject({ bad: true })
    expect(by["labels"]).toMatchObject({ bad: true, value: 0.5 })
    expect(by["twice"]).toMatchObject({ bad: false, value: 0.5 })
    expect(by["few"]).toMatchObject({ bad: false, value: null })
    expect(by["nobody"]).toMatchObject({ bad: false, value: null, samples: 0 })
  })

  it("still ask for the work of an alert whose window has passed since", async () => {
    const { fired, state, layer } = recorder()
    await run(
      Effect.gen(function* () {
        yield* load
        const alerts = yield* Alerts.Alerts
        yield* alerts.putRule(yield* rule({}))
        state.broken = true
        yield* Effect.flip(alerts.evaluateRules({ at: july }))
        state.broken = false
        const august = at("2001-08-01T00:00:00Z")
        yield* alerts.evaluateRules({ at: august, dryRun: true })
        expect(fired).toHaveLength(0)
        const [found] = yield* alerts.evaluateRules({ at: august })
        expect(found).toMatchObject({ bad: false, value: null })
        expect(fired.map(({ key }) => key)).toEqual(["monitoring/moved/2001-06-01T00:00:00Z"])
        expect((yield* alerts.history())[0]?.triggerId).toBeDefined()
      }),
      layer,
    )
  })

  it("do not keep each other from being evaluated", async () => {
    const { fired, layer } = recorder()
    await run(
      Effect.gen(function* () {
        yield* load
        const alerts = yield* Alerts.Alerts
        const when = { kind: "drift-share", reference: "gone" } as const
        yield* alerts.putRule(yield* rule({ name: "a-broken", when }))
        yield* alerts.putRule(yield* rule({ name: "b-moved" }))
        const error = yield* Effect.flip(alerts.evaluateRules({ at: july }))
        expect(error.message).toMatch(/rule 'a-broken'.*no reference 'gone'/)
        expect(fired.map(({ payload }) => payload)).toMatchObject([{ rule: "b-moved" }])
      }),
      layer,
    )
  })

  it("keep a name to one model and one length of window once it has fired", async () => {
    const { layer } = recorder()
    await run(
      Effect.gen(function* () {
        yield* load
        const alerts = yield* Alerts.Alerts
        yield* alerts.putRule(yield* rule({}))
        yield* alerts.putRule(yield* rule({ by: "week" }))
        yield* alerts.putRule(yield* rule({}))
        yield* alerts.evaluateRules({ at: july })
        yield* alerts.putRule(yield* rule({ threshold: 0.6 }))
        yield* alerts.removeRule("moved")
        for (const part of [{ model: "other" }, { by: "day" }] as const) {
          const error = yield* Effect.flip(alerts.putRule(yield* rule(part)))
          expect(error.reason).toBe("Conflict")
          expect(error.message).toMatch(/another name/)
        }
      }),
      layer,
    )
  })

  it("measure label coverage whatever the outputs, and bias by its size", async () => {
    const { layer } = recorder()
    const n = 200
    const predictionIds = Array.from({ length: n }, (_, i) => `p${i}`)
    const times = new Float64Array(n).fill(at("2001-06-10T00:00:00Z"))
    const high = new Float64Array(n).fill(15)
    await run(
      Effect.gen(function* () {
        const monitoring = yield* Monitoring.Monitoring
        const batch = { version: "1", predictionIds, times, features: {} }
        const labels = new Float64Array(n).fill(5)
        for (const [model, outputs] of [
          ["many", { low: high, high }],
          ["one", { minutes: high }],
        ] as const) {
          yield* monitoring.predictions({ ...batch, model, outputs })
          yield* monitoring.labels({ model, predictionIds, times, labels })
        }
        const alerts = yield* Alerts.Alerts
        const coverage = { kind: "label-coverage" } as const
        const bias = { kind: "performance-drop", metric: "bias", baseline: -1 } as const
        yield* alerts.putRule(yield* rule({ name: "coverage", model: "many", when: coverage }))
        yield* alerts.putRule(yield* rule({ name: "bias", model: "one", when: bias, threshold: 5 }))
        expect(yield* alerts.evaluateRules({ at: july })).toMatchObject([
          { rule: "bias", value: 9, bad: true },
          { rule: "coverage", value: 1, bad: false },
        ])
      }),
      layer,
    )
  })

  it("are checked, replaced and removed", async () => {
    const { layer } = recorder()
    await run(
      Effect.gen(function* () {
        const alerts = yield* Alerts.Alerts
        yield* alerts.putRule(yield* rule({}))
        yield* alerts.putRule(yield* rule({ threshold: 0.9 }))
        expect((yield* alerts.rules).map((r) => r.threshold)).toEqual([0.9])
        const unknown = yield* Effect.flip(alerts.evaluateRules({ at: july, rules: ["other"] }))
        expect(unknown.code).toBe("MonitoringError.NotFound")
        yield* alerts.removeRule("moved")
        expect(yield* alerts.rules).toEqual([])
        for (const part of [{ name: "a b" }, { threshold: Number.NaN }, { forWindows: 0 }]) {
          expect((yield* Effect.flip(rule(part))).code).toBe("MonitoringError.InvalidInput")
        }
      }),
      layer,
    )
  })
})
