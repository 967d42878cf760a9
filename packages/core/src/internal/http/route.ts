import { Readable } from "node:stream"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify"
import type { Principal, Verb } from "../../Auth.ts"
import { authorize, local } from "./authenticate.ts"
import type { BodyMode } from "./body.ts"
import { HttpError, type FormatError, type Issue } from "./HttpError.ts"
import { type Kit, kitOf, type RouteRules } from "./Kit.ts"
import { Reply } from "./Reply.ts"
import { run } from "./run.ts"
import { sendFailure } from "./sendFailure.ts"

/** A schema that decodes without services. */
export type Decodable = Schema.ConstraintDecoder<unknown>

/** What a route may say about its body: a schema for JSON, or the bytes as they come. */
export type BodySpec = Decodable | "bytes" | "stream"

/** What a schema decodes to. */
export type Decoded<S> = S extends { readonly Type: infer T } ? T : undefined

/** What the handler gets for its body: a `Uint8Array` for `bytes`, a `Stream` for `stream`. */
export type BodyOf<B> = B extends "bytes"
  ? Uint8Array
  : B extends "stream"
    ? Stream.Stream<Uint8Array, HttpError>
    : Decoded<B>

/** What a handler gets. */
export interface Input<Params, Query, Body> {
  readonly params: Decoded<Params>
  readonly query: Decoded<Query>
  readonly body: BodyOf<Body>
  /** The caller; on a public route a principal without scopes. */
  readonly principal: Principal
  readonly requestId: string
  /** For headers and the like. */
  readonly request: FastifyRequest
}

/**
 * Who may call: everybody, or holders of a scope for the verb. Without `project`, a scope on any
 * project will do, and the handler shows each caller only what `Auth.allows` says.
 */
export type Access<Params, Query, Body> =
  | "public"
  | {
      readonly verb: Verb
      readonly project?: string | ((input: Input<Params, Query, Body>) => string)
    }

/** A route. Its handler runs once the request is authenticated, decoded and authorised. */
export interface Route<
  R,
  Params extends Decodable | undefined,
  Query extends Decodable | undefined,
  Body extends BodySpec | undefined,
  Response extends Schema.ConstraintEncoder<unknown> | undefined,
> {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  /** In Fastify's syntax, below the prefix, e.g. `/runs/:id`. */
  readonly url: string
  /** Name in the OpenAPI document and of the span, e.g. `getRun`. */
  readonly operation: string
  readonly summary?: string
  readonly tag?: string
  readonly access: Access<Params, Query, Body>
  /** Schemas of path and query decode from strings. */
  readonly params?: Params
  readonly query?: Query
  readonly body?: Body
  /** Encodes the result; without it the result must be JSON already. */
  readonly response?: Response
  /** Status of a success; default 200, or 204 when there is no result. */
  readonly status?: number
  readonly bodyBytes?: number
  readonly timeoutMs?: number
  readonly formatError?: FormatError
  readonly handler: (
    input: Input<Params, Query, Body>,
  ) => Effect.Effect<
    (Response extends { readonly Type: infer T } ? T : unknown) | Reply,
    unknown,
    R
  >
}

const formatIssues = SchemaIssue.makeFormatterStandardSchemaV1()

const pathOf = (part: string, path: ReadonlyArray<unknown> | undefined): string =>
  (path ?? []).reduce<string>((text, segment) => {
    const key =
      typeof segment === "object" && segment !== null && "key" in segment ? segment.key : segment
    return typeof key === "number" ? `${text}[${key}]` : `${text}.${String(key)}`
  }, part)

const refusal = (part: string, error: Schema.SchemaError): HttpError => {
  const issues = formatIssues(error.issue).issues.map((issue): Issue => ({
    field: pathOf(part, issue.path),
    message: issue.message,
  }))
  const [first] = issues
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more, see issues)` : ""
  return new HttpError({
    reason: "InvalidInput",
    message: `${first?.field ?? part}: ${first?.message ?? "not valid"}${more}`,
    field: first?.field ?? part,
    issues,
  })
}

const decoder = (part: string, schema: Decodable | undefined) => {
  if (schema === undefined) return () => undefined
  const decode = Schema.decodeUnknownResult(schema, { errors: "all" })
  return (value: unknown): unknown => {
    const result = decode(value)
    if (Result.isSuccess(result)) return result.success
    throw refusal(part, result.failure)
  }
}

const nobody: Principal = { name: "nobody", scopes: [] }

/** The first chunk is awaited, so that a failure before it still gets its status. */
const toReadable = async (
  stream: Stream.Stream<Uint8Array, unknown>,
  context: Context.Context<never>,
) => {
  const iterator = Stream.toAsyncIterableWith(stream, context)[Symbol.asyncIterator]()
  const first = await iterator.next()
  const chunks = async function* () {
    try {
      for (let next = first; next.done !== true; next = await iterator.next()) yield next.value
    } finally {
      await iterator.return?.()
    }
  }
  return Readable.from(chunks(), { objectMode: false })
}

const isStream = (value: unknown): value is Stream.Stream<Uint8Array, unknown> =>
  Stream.isStream(value)

const sendJson = (reply: FastifyReply, status: number, value: unknown): FastifyReply =>
  value === undefined
    ? reply.code(status === 200 ? 204 : status).send()
    : reply
        .code(status)
        .header("content-type", "application/json; charset=utf-8")
        .send(JSON.stringify(value))

const sendReply = async (
  reply: FastifyReply,
  answer: Reply,
  status: number,
  context: Context.Context<never>,
): Promise<FastifyReply> => {
  const { body } = answer
  reply.headers(answer.headers)
  const code = answer.status ?? status
  if (isStream(body)) return reply.code(code).send(await toReadable(body, context))
  if (typeof body === "string" || body instanceof Uint8Array) {
    return reply
      .code(code)
      .send(
        typeof body === "string"
          ? body
          : Buffer.from(body.buffer, body.byteOffset, body.byteLength),
      )
  }
  return sendJson(reply, code, body)
}

/**
 * Registers a route whose handler is an effect. It is interrupted when the client goes away and
 * when it takes too long; its failures are answered through `Failure.statusOf`.
 */
export const route = <
  R,
  Params extends Decodable | undefined = undefined,
  Query extends Decodable | undefined = undefined,
  Body extends BodySpec | undefined = undefined,
  Response extends Schema.ConstraintEncoder<unknown> | undefined = undefined,
>(
  app: FastifyInstance,
  runtime: ManagedRuntime.ManagedRuntime<R, unknown>,
  spec: Route<R, Params, Query, Body, Response>,
): void => {
  const kit = kitOf(app)
  describeRoute(app, kit, spec)
  const state = startWith(app, kit, runtime)
  const { access, body, status = 200 } = spec
  const mode: BodyMode = body === "bytes" ? "bytes" : body === "stream" ? "stream" : "json"
  const decodeParams = decoder("params", spec.params)
  const decodeQuery = decoder("query", spec.query)
  const decodeBody =
    body === "bytes" || body === "stream" ? (value: unknown) => value : decoder("body", body)
  const encode = spec.response === undefined ? undefined : Schema.encodeUnknownEffect(spec.response)
  const rules: RouteRules = {
    access: access === "public" ? "public" : "token",
    mode,
    bodyBytes: spec.bodyBytes,
    formatError: spec.formatError,
  }
  const timeoutMs = spec.timeoutMs ?? kit.options.limits?.timeoutMs ?? 60_000

  const inputOf = (request: FastifyRequest): Input<Params, Query, Body> => {
    const principal =
      kit.principals.get(request) ?? (kit.options.auth === "off-on-loopback" ? local : nobody)
    const input = {
      params: decodeParams(request.params),
      query: decodeQuery(request.query),
      body: decodeBody(request.body),
      principal,
      requestId: request.id,
      request,
    } as Input<Params, Query, Body>
    if (access !== "public") {
      const { project } = access
      authorize(principal, access.verb, typeof project === "function" ? project(input) : project)
    }
    return input
  }

  app.route({
    method: spec.method,
    url: spec.url,
    config: { ashlar: rules },
    handler: async (request, reply) => {
      const input = inputOf(request)
      const handled = Effect.suspend(() => spec.handler(input)).pipe(
        Effect.flatMap((value) =>
          encode === undefined || value instanceof Reply
            ? Effect.succeed(value)
            : Effect.orDie(encode(value)),
        ),
        Effect.flatMap((value) =>
          Effect.map(Effect.context<never>(), (context) => ({ value, context })),
        ),
      )
      const exit = await run(kit, runtime, handled, {
        operation: spec.operation,
        route: request.routeOptions.url ?? spec.url,
        status,
        timeoutMs,
        traced: state.traced,
        request,
        reply,
      })
      if (Exit.isFailure(exit)) return sendFailure(kit, request, reply, exit.cause)
      const { value, context } = exit.value
      return value instanceof Reply
        ? sendReply(reply, value, status, context)
        : sendJson(reply, status, value)
    },
  })
}

/** The server does not start without the services of its routes. */
const startWith = <R>(
  app: FastifyInstance,
  kit: Kit,
  runtime: ManagedRuntime.ManagedRuntime<R, unknown>,
): { readonly traced: boolean } => {
  const known = kit.runtimes.get(runtime)
  if (known !== undefined) return known
  const state = { traced: true }
  kit.runtimes.set(runtime, state)
  app.addHook("onReady", async () => {
    const context: Context.Context<never> = await runtime.context()
    kit.contexts.add(context)
    state.traced = Context.get(context, Tracer.Tracer) !== Tracer.nativeTracer
  })
  return state
}

const describeRoute = (
  app: FastifyInstance,
  kit: Kit,
  spec: {
    readonly method: string
    readonly url: string
    readonly operation: string
    readonly summary?: string
    readonly tag?: string
    readonly access: unknown
    readonly params?: Decodable | undefined
    readonly query?: Decodable | undefined
    readonly body?: BodySpec | undefined
    readonly response?: Schema.Constraint | undefined
    readonly status?: number
  },
): void => {
  kit.described.push({
    method: spec.method,
    url: `${app.prefix}${spec.url}`,
    operation: spec.operation,
    summary: spec.summary,
    tag: spec.tag,
    public: spec.access === "public",
    params: spec.params,
    query: spec.query,
    body: spec.body === "stream" ? "bytes" : spec.body,
    response: spec.response,
    status: spec.status ?? 200,
  })
}
