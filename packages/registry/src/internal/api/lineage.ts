import { OpenLineage } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { FastifyInstance } from "fastify"
import { Lineage } from "../../Lineage.ts"
import { type Graph, LineageGraph, type Node, type Place } from "../../LineageGraph.ts"
import { invalid } from "../../RegistryError.ts"
import type { GraphAnswer, NodeAnswer } from "./answers.ts"
import { common, Id, needed, queryUpTo, root, type Runtime, text } from "./route.ts"

const Query = Schema.Struct({
  run: Schema.optionalKey(Id),
  model: Schema.optionalKey(Id),
  version: Schema.optionalKey(queryUpTo(Number.MAX_SAFE_INTEGER)),
  alias: Schema.optionalKey(Id),
  namespace: Schema.optionalKey(text(1000)),
  dataset: Schema.optionalKey(text(1000)),
  direction: Schema.optionalKey(Schema.Literals(["upstream", "downstream", "both"])),
  depth: Schema.optionalKey(queryUpTo(50)),
  nodes: Schema.optionalKey(queryUpTo(5000)),
})

/** The place that a query names; `undefined` when it names none or several. */
const placeOf = (query: typeof Query.Type): Place | undefined => {
  const { run: runId, model: name, version, alias, namespace, dataset } = query
  const places: ReadonlyArray<Place> = [
    ...(runId === undefined ? [] : [{ kind: "run", runId } as const]),
    ...(name === undefined || version === undefined
      ? []
      : [{ kind: "model", name, version } as const]),
    ...(name === undefined || alias === undefined
      ? []
      : [{ kind: "deployment", name, alias } as const]),
    ...(namespace === undefined || dataset === undefined
      ? []
      : [{ kind: "dataset", namespace, name: dataset } as const]),
  ]
  return places.length === 1 ? places[0] : undefined
}

const nodeOf = ({ label, place, distance, ...node }: Node): NodeAnswer => {
  const start = { id: node.id, isStart: distance === 0 }
  switch (place.kind) {
    case "dataset":
      return { ...start, kind: "dataset", label, detail: place.namespace }
    case "run":
      return { ...start, kind: "run", label, detail: place.runId, link: { run: place.runId } }
    case "model":
      return {
        ...start,
        kind: "version",
        label,
        link: { model: place.name, version: place.version },
      }
    case "deployment":
      return { ...start, kind: "alias", label, link: { model: place.name } }
  }
}

const answerOf = ({ nodes, edges, truncated }: Graph): GraphAnswer => ({
  nodes: nodes.map(nodeOf),
  edges: edges.map(({ from, to }) => ({ from, to })),
  truncated,
})

/** Registers the lineage graph, and where OpenLineage's clients post their events. */
export const register = (app: FastifyInstance, runtime: Runtime): void => {
  HttpKit.route(app, runtime, {
    ...common,
    method: "POST",
    url: "/api/v1/lineage",
    operation: "openLineage",
    summary: "Takes an OpenLineage run event; the same event twice is stored once",
    tag: "lineage",
    access: { verb: "write" },
    body: OpenLineage.RunEvent,
    status: 201,
    handler: ({ body }) =>
      Effect.flatMap(needed(Lineage, "Lineage.layer"), (lineage) => lineage.emit(body)),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: `${root}/lineage`,
    operation: "registryLineage",
    summary: "What a run, a version, an alias or a dataset came from, and what came of it",
    access: { verb: "read" },
    query: Query,
    handler: ({ query }) =>
      Effect.gen(function* () {
        const from = placeOf(query)
        if (from === undefined) {
          return yield* invalid(
            "query",
            "name one place: run, model with version, model with alias, or namespace with dataset",
          )
        }
        const graph = yield* needed(LineageGraph, "LineageGraph.layer")
        const { direction, depth, nodes } = query
        return answerOf(
          yield* graph.walk(from, {
            ...(direction === undefined ? {} : { direction }),
            ...(depth === undefined ? {} : { depth }),
            ...(nodes === undefined ? {} : { nodes }),
          }),
        )
      }),
  })
}
