import * as JsonSchema from "effect/JsonSchema"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import * as SchemaRepresentation from "effect/SchemaRepresentation"
import type { Kit } from "./Kit.ts"

type Json = Readonly<Record<string, unknown>>

/** Turns many schemas into JSON Schemas that share one set of components. */
const schemasOf = (schemas: ReadonlyArray<Schema.Constraint>) => {
  const asts = schemas.map((schema): SchemaAST.AST => Schema.toCodecJson(schema).ast)
  const [first, ...rest] = asts
  if (first === undefined) return { schemas: [], definitions: {} }
  return JsonSchema.toMultiDocumentOpenApi3_1(
    SchemaRepresentation.toJsonSchemaMultiDocument(
      SchemaRepresentation.toRepresentations([first, ...rest]),
    ),
  )
}

const isRecord = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const parametersOf = (place: "path" | "query", schema: unknown): ReadonlyArray<Json> => {
  if (!isRecord(schema) || !isRecord(schema["properties"])) return []
  const required = Array.isArray(schema["required"]) ? schema["required"] : []
  return Object.entries(schema["properties"]).map(([name, value]) => ({
    name,
    in: place,
    required: place === "path" || required.includes(name),
    schema: value,
  }))
}

const pathNames = (url: string): ReadonlyArray<string> =>
  Array.from(url.matchAll(/:([A-Za-z0-9_]+)|(\*)/g), (match) => match[1] ?? "path")

const pathOf = (url: string): string =>
  url
    .replaceAll("::", "\u0000")
    .replaceAll(/:([A-Za-z0-9_]+)(\([^)]*\))?/g, "{$1}")
    .replaceAll("*", "{path}")
    .replaceAll("\u0000", ":")

const errorSchema: Json = {
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["code", "reason", "message", "requestId"],
      properties: {
        code: { type: "string" },
        reason: { type: "string" },
        message: { type: "string" },
        field: { type: "string" },
        issues: { type: "array", items: { type: "object" } },
        requestId: { type: "string" },
      },
    },
  },
}

/** The OpenAPI 3.1 document of the routes registered so far. */
export const openApiOf = (kit: Kit): Json => {
  const wanted: Array<Schema.Constraint> = []
  const add = (schema: Schema.Constraint | "bytes" | undefined): number =>
    schema === undefined || schema === "bytes" ? -1 : wanted.push(schema) - 1
  const indexed = kit.described.map((route) => ({
    route,
    params: add(route.params),
    query: add(route.query),
    body: add(route.body),
    response: add(route.response),
  }))
  const { schemas, definitions } = schemasOf(wanted)
  const paths: Record<string, Record<string, Json>> = Object.create(null)
  for (const { route, ...at } of indexed) {
    const fromSchema = parametersOf("path", schemas[at.params])
    const known = new Set(fromSchema.map((parameter) => parameter["name"]))
    const others = pathNames(route.url)
      .filter((name) => !known.has(name))
      .map((name) => ({ name, in: "path", required: true, schema: { type: "string" } }))
    const content =
      route.body === "bytes"
        ? { "application/octet-stream": {} }
        : { "application/json": { schema: schemas[at.body] } }
    const answer = schemas[at.response]
    const operation: Json = {
      operationId: route.operation,
      ...(route.summary === undefined ? {} : { summary: route.summary }),
      ...(route.tag === undefined ? {} : { tags: [route.tag] }),
      parameters: [...fromSchema, ...others, ...parametersOf("query", schemas[at.query])],
      ...(route.body === undefined ? {} : { requestBody: { required: true, content } }),
      responses: {
        [String(route.status)]: {
          description: "Success",
          ...(answer === undefined ? {} : { content: { "application/json": { schema: answer } } }),
        },
        default: {
          description: "Failure",
          content: { "application/json": { schema: { $ref: "#/components/schemas/AshlarError" } } },
        },
      },
      ...(route.public ? { security: [] } : {}),
    }
    const path = pathOf(route.url)
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation }
  }
  return {
    openapi: "3.1.0",
    info: kit.options.info ?? { title: "Ashlar", version: "0.1.0" },
    paths,
    components: {
      schemas: { ...definitions, AshlarError: errorSchema },
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer" },
        basic: { type: "http", scheme: "basic", description: "The token is the password." },
      },
    },
    security: [{ bearer: [] }, { basic: [] }],
  }
}
