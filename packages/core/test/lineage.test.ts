import { createServer, type Server } from "node:http"
import { Digest, Id, LineageSink, OpenLineage } from "@ashlar/core"
import * as LineageHttp from "@ashlar/core/lineageHttp"
import * as Arrow from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { afterEach, describe, expect, it } from "vitest"

const job = { namespace: "flights", name: "train" }
const schema = new Arrow.Schema([
  new Arrow.Field("delay", new Arrow.Float64(), true),
  new Arrow.Field("time", new Arrow.TimestampMicrosecond("UTC"), false),
])
const input = {
  runId: Id.make(),
  job,
  parent: { runId: Id.make(), job: { namespace: "flights", name: "loop" } },
  inputs: [{ namespace: "file", name: "/data/flights.parquet", schema, digest: Digest.of("x") }],
  outputs: [{ namespace: "file", name: "/data/clean.parquet", rows: 10, bytes: 99 }],
  time: 1_500_000,
}

describe("events", () => {
  it("have the shapes of the specification", () => {
    const events = [
      OpenLineage.start(input),
      OpenLineage.complete(input),
      OpenLineage.abort(input),
      OpenLineage.fail({ ...input, error: { message: "no space", stack: "at x" } }),
    ]
    expect(events.map((event) => event.eventType)).toEqual(["START", "COMPLETE", "ABORT", "FAIL"])
    for (const event of events) {
      expect(
        Schema.decodeUnknownSync(OpenLineage.RunEvent)(JSON.parse(JSON.stringify(event))),
      ).toEqual(event)
      expect(event).toMatchObject({
        eventTime: "1970-01-01T00:00:01.500Z",
        schemaURL: "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        run: {
          runId: input.runId,
          facets: { parent: { run: { runId: input.parent.runId }, job: input.parent.job } },
        },
        inputs: [
          {
            facets: {
              schema: {
                _schemaURL:
                  "https://openlineage.io/spec/facets/1-2-0/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet",
                fields: [
                  { name: "delay", type: "float64" },
                  { name: "time", type: "timestamp[us, UTC]" },
                ],
              },
              version: { datasetVersion: Digest.of("x") },
            },
          },
        ],
        outputs: [{ outputFacets: { outputStatistics: { rowCount: 10, size: 99 } } }],
      })
    }
    expect(events[3]?.run.facets).toMatchObject({
      errorMessage: { message: "no space", programmingLanguage: "JAVASCRIPT", stackTrace: "at x" },
    })
  })
})

describe("over HTTP", () => {
  let server: Server | undefined
  afterEach(() => server?.close())

  const serve = async (statuses: Array<number>) => {
    const seen: Array<{ url: string; authorization: string; body: unknown }> = []
    server = createServer((request, response) => {
      let text = ""
      request.on("data", (chunk) => (text += String(chunk)))
      request.on("end", () => {
        const { authorization = "" } = request.headers
        seen.push({ url: request.url ?? "", authorization, body: JSON.parse(text) })
        response.statusCode = statuses.shift() ?? 201
        response.end("said the server")
      })
    })
    await new Promise<void>((done) => server?.listen(0, "127.0.0.1", done))
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    return { seen, url: `http://127.0.0.1:${port}` }
  }

  const emit = (options: LineageHttp.LineageHttpOptions) =>
    Effect.runPromise(
      Effect.result(
        LineageSink.LineageSink.pipe(
          Effect.flatMap((sink) => sink.emit(OpenLineage.start(input))),
          Effect.provide(LineageHttp.layer(options)),
        ),
      ),
    )

  it("posts the event, again when the server is busy", async () => {
    const { seen, url } = await serve([503, 429])
    const result = await emit({ url, token: Redacted.make("secret") })
    expect(result._tag).toBe("Success")
    expect(seen).toHaveLength(3)
    expect(seen[2]).toEqual({
      url: "/api/v1/lineage",
      authorization: "Bearer secret",
      body: OpenLineage.start(input),
    })
  })

  it("does not repeat what the server refuses, and says who refused", async () => {
    const { seen, url } = await serve([422])
    const result = await emit({ url })
    expect(result).toMatchObject({ _tag: "Failure", failure: { reason: "InvalidInput" } })
    expect(JSON.stringify(result)).toContain("answered 422")
    expect(seen).toHaveLength(1)
  })

  it("fails when nobody answers or the URL is none", async () => {
    const { url } = await serve([])
    await new Promise((done) => server?.close(done))
    expect(await emit({ url, retries: 0 })).toMatchObject({ failure: { reason: "Unavailable" } })
    expect(await emit({ url: "ftp://x" })).toMatchObject({ failure: { reason: "InvalidInput" } })
  })
})
