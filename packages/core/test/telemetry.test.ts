import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import { describe, expect, it } from "vitest"
import { Telemetry } from "@ashlar/core"

/** A collector that keeps what it is sent. */
const collector = async () => {
  const received: Array<{ readonly path: string; readonly body: string }> = []
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      received.push({ path: request.url ?? "", body: Buffer.concat(chunks).toString("utf8") })
      response.setHeader("content-type", "application/json").end("{}")
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  return {
    received,
    endpoint: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const withEnv = (env: Record<string, string>) =>
  Telemetry.layer.pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))))

const work = Effect.void.pipe(
  Effect.withSpan("score", {
    attributes: {
      "model.name": "delays",
      "db.password": "hunter2",
      "http.request.header.authorization": "Bearer abc",
      "db.url": "postgres://ada:lovelace@db/ml",
      note: "used ash_0190-abc_S3cr3t to sign in",
      boxed: Redacted.make("boxed-secret"),
    },
  }),
)

describe("Telemetry", () => {
  it("exports spans and metrics by OTEL_EXPORTER_OTLP_ENDPOINT, without secrets", async () => {
    await using otlp = await collector()
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: otlp.endpoint,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_SERVICE_NAME: "scoring",
    }
    const counted = Metric.update(Metric.counter("telemetry_test_total"), 3)
    await Effect.runPromise(Effect.provide(Effect.andThen(counted, work), withEnv(env)))
    const traces = otlp.received.filter(({ path }) => path === "/v1/traces")
    const text = traces.map(({ body }) => body).join("")
    expect(text).toContain('"score"')
    expect(text).toContain('"scoring"')
    expect(text).toContain("delays")
    expect(text).toContain("postgres://ada:<redacted>@db/ml")
    expect(text).not.toMatch(/hunter2|lovelace|Bearer abc|S3cr3t|boxed-secret/)
    const metrics = otlp.received.filter(({ path }) => path === "/v1/metrics")
    expect(metrics.map(({ body }) => body).join("")).toContain("telemetry_test_total")
  })

  it("sends nothing without an endpoint, or when switched off", async () => {
    await using otlp = await collector()
    await Effect.runPromise(Effect.provide(work, withEnv({})))
    const off = { OTEL_EXPORTER_OTLP_ENDPOINT: otlp.endpoint, OTEL_SDK_DISABLED: "true" }
    await Effect.runPromise(Effect.provide(work, withEnv(off)))
    expect(otlp.received).toEqual([])
  })

  it("renders metrics as Prometheus text", async () => {
    const text = await Effect.runPromise(
      Effect.andThen(
        Metric.update(Metric.counter("telemetry_prometheus_total"), 2),
        Telemetry.prometheus,
      ),
    )
    expect(text).toMatch(/^# TYPE telemetry_prometheus_total counter$/m)
    expect(text).toMatch(/^telemetry_prometheus_total 2$/m)
  })

  it.each([
    ["password", "x", "<redacted>"],
    ["API_KEY", "x", "<redacted>"],
    ["session.token", "x", "<redacted>"],
    ["cookie", ["a"], "<redacted>"],
    ["gen_ai.usage.input_tokens", 12, 12],
    ["tokens.per_second", "5", "5"],
    ["tokenizer", "bpe", "bpe"],
    ["author", "ada", "ada"],
    ["url", "https://host/path?x=1@y", "https://host/path?x=1@y"],
  ])("redacts %s", (name, value, expected) => {
    expect(Telemetry.redact(name, value)).toBe(expected)
  })
})
