import * as HttpKit from "@ashlar/core/fastify"
import * as Sqlite from "@ashlar/core/sqlite"
import { Orchestrator, Workflow } from "@ashlar/orchestrator"
import { plugin } from "@ashlar/orchestrator/fastify"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import Fastify, { type FastifyInstance } from "fastify"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const runtime = ManagedRuntime.make(
  Orchestrator.layer().pipe(Layer.provide(Sqlite.layer({ file: ":memory:" }))),
)
let app: FastifyInstance

beforeAll(async () => {
  app = Fastify()
  await app.register(HttpKit.plugin, { auth: "off-on-loopback", openMetrics: true })
  await app.register(plugin, { runtime })
  await app.ready()
})
afterAll(async () => {
  await app.close()
  await runtime.dispose()
})

const send = async (method: "GET" | "POST", url: string, payload?: object | string) => {
  const response = await app.inject({
    method,
    url,
    ...(payload === undefined ? {} : { payload }),
    ...(typeof payload === "string" ? { headers: { "content-type": "application/json" } } : {}),
  })
  const json = response.headers["content-type"]?.toString().includes("json") === true
  return { status: response.statusCode, body: json ? JSON.parse(response.body) : response.body }
}

const workflow = Workflow.make({
  name: "http",
  version: "1",
  input: Schema.Number,
  output: Schema.Number,
  run: (input, { step }) =>
    input < 0
      ? Effect.fail(new Error("negative"))
      : step({ name: "only", output: Schema.Number }, Effect.succeed(input)),
})

const orchestrate = <A, E>(
  work: (orchestrator: Orchestrator.Orchestrator["Service"]) => Effect.Effect<A, E>,
) => runtime.runPromise(Effect.flatMap(Orchestrator.Orchestrator, work))

const iso = /^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/

describe("the orchestrator over HTTP", () => {
  it("lists runs by pages and filters, and shows one with its steps", async () => {
    await orchestrate((o) => o.execute(workflow, { key: "a", input: 1 }))
    await orchestrate((o) => Effect.exit(o.execute(workflow, { key: "b", input: -1 })))
    await orchestrate((o) => o.start(workflow, { key: "c", input: 2 }))
    const first = await send("GET", "/v1/runs?limit=2")
    expect(first.status).toBe(200)
    expect(first.body.items.map((run: { key: string }) => run.key)).toEqual(["c", "b"])
    const second = await send("GET", `/v1/runs?limit=2&token=${first.body.next}`)
    expect(second.body).toMatchObject({ items: [{ key: "a", state: "succeeded" }] })
    expect(second.body.next).toBeUndefined()
    const failed = await send("GET", "/v1/runs?state=failed&workflow=http")
    expect(failed.body.items).toMatchObject([{ key: "b", error: "Error: negative" }])
    expect((await send("GET", "/v1/runs?workflow=other")).body).toEqual({ items: [] })

    const { id } = second.body.items[0]
    const run = await send("GET", `/v1/runs/${id}`)
    expect(run.body).toMatchObject({ id, workflow: "http", steps: [{ name: "only", attempt: 1 }] })
    expect(run.body.created).toMatch(iso)
    expect(run.body.steps[0].finished).toMatch(iso)
  })

  it("cancels a run once, and leaves an ended one as it is", async () => {
    const { id } = await orchestrate((o) => o.start(workflow, { key: "d", input: 2 }))
    const cancelled = await send("POST", `/v1/runs/${id}/cancel`)
    expect(cancelled).toMatchObject({ status: 200, body: { state: "cancelled" } })
    expect((await send("POST", `/v1/runs/${id}/cancel`)).body).toEqual(cancelled.body)
    const done = await orchestrate((o) => o.findRun("http", "a"))
    const kept = await send("POST", `/v1/runs/${done?.id}/cancel`)
    expect(kept.body.state).toBe("succeeded")
  })

  it("fires a trigger once per key", async () => {
    const event = { key: "k", kind: "retrain", subject: "m", reason: "drift", payload: { at: 1 } }
    const first = await send("POST", "/v1/triggers", event)
    expect(first).toMatchObject({ status: 202, body: { duplicate: false } })
    const again = await send("POST", "/v1/triggers", event)
    expect(again.body).toEqual({ triggerId: first.body.triggerId, duplicate: true })
  })

  it("refuses bad input with what is wrong, never as a server error", async () => {
    const expectRefusal = async (
      [method, url, payload]: readonly ["GET" | "POST", string, (object | string)?],
      status: number,
      field?: string,
    ) => {
      const answer = await send(method, url, payload)
      expect([url, answer.status]).toEqual([url, status])
      if (field !== undefined) expect(JSON.stringify(answer.body)).toContain(field)
    }
    await expectRefusal(["GET", "/v1/runs?limit=0"], 400, "limit")
    await expectRefusal(["GET", "/v1/runs?limit=1e9"], 400, "limit")
    await expectRefusal(["GET", "/v1/runs?limit=some"], 400, "limit")
    await expectRefusal(["GET", "/v1/runs?token=bm9uc2Vuc2U"], 400, "token")
    await expectRefusal(["GET", "/v1/runs?state=odd"], 400, "state")
    await expectRefusal(["GET", "/v1/runs/none"], 404)
    await expectRefusal(["POST", "/v1/runs/none/cancel"], 404)
    await expectRefusal(["POST", "/v1/triggers", { key: "k" }], 400, "kind")
    const event = { key: "k2", kind: "../x", subject: "m", reason: "" }
    await expectRefusal(["POST", "/v1/triggers", event], 400, "kind")
    await expectRefusal(["POST", "/v1/triggers", "{"], 400)
  })

  it("has health, metrics and OpenAPI", async () => {
    expect((await send("GET", "/health/ready")).status).toBe(200)
    const metrics = await send("GET", "/metrics")
    expect(metrics.body).toMatch(
      /ashlar_orchestrator_runs_total\{[^}]*outcome="succeeded"[^}]*\} 1/,
    )
    expect(metrics.body).toMatch(/ashlar_orchestrator_runs_active\{workflow="http"\} 0/)
    const { body } = await send("GET", "/openapi.json")
    expect(Object.keys(body.paths)).toEqual(
      expect.arrayContaining(["/v1/runs", "/v1/runs/{id}", "/v1/runs/{id}/cancel", "/v1/triggers"]),
    )
  })
})
