/**
 * Where a model comes from and what depends on it: datasets, runs, model versions and the aliases
 * they serve under, read from stored OpenLineage events, runs, versions and aliases.
 *
 * @module
 */
import type { BlobStore, Database } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Neighbours from "./internal/lineage-neighbours.ts"
import * as Store from "./internal/store.ts"
import { invalid, notFound, type RegistryError } from "./RegistryError.ts"

const text = Schema.NonEmptyString.check(Schema.isMaxLength(1000))

/** Schema of a place in the graph. */
export const Place = Schema.Union([
  /** As OpenLineage names datasets: `file` and a path, `s3://bucket` and a key. */
  Schema.Struct({ kind: Schema.tag("dataset"), namespace: text, name: text }),
  /** A run of this registry, or of any job that sent OpenLineage events. */
  Schema.Struct({ kind: Schema.tag("run"), runId: text }),
  Schema.Struct({
    kind: Schema.tag("model"),
    name: text,
    version: Schema.Int.check(Schema.isGreaterThan(0)),
  }),
  /** A model under an alias. */
  Schema.Struct({ kind: Schema.tag("deployment"), name: text, alias: text }),
])

/** A place in the graph. */
export type Place = typeof Place.Type

/** A place with what is known of it. */
export interface Node {
  /** Unique in the graph. */
  readonly id: string
  readonly place: Place
  /** E.g. the name of a run, or the job of an event. */
  readonly label: string
  /** Steps from where the walk began; negative upstream. */
  readonly distance: number
}

/** What flows from one place to another. */
export interface Edge {
  readonly from: string
  readonly to: string
  readonly kind: "read" | "wrote" | "registered" | "deployed"
}

/** A part of the lineage. */
export interface Graph {
  readonly nodes: ReadonlyArray<Node>
  readonly edges: ReadonlyArray<Edge>
  /** True when the limits left something out. */
  readonly truncated: boolean
}

/** How far to walk. */
export interface Walk {
  /** Default both. */
  readonly direction?: "upstream" | "downstream" | "both"
  /** Steps; default 10, at most 50. */
  readonly depth?: number
  /** Nodes; default 500, at most 5000. */
  readonly nodes?: number
}

/** Walks the lineage. */
export class LineageGraph extends Context.Service<
  LineageGraph,
  {
    /**
     * The places upstream (what it was made from) and downstream (what was made from it), nearest
     * first. Fails with `NotFound` for a model version or alias that is not there. Datasets whose
     * namespace and name have more than 500 characters together are not in it.
     */
    readonly walk: (from: Place, options?: Walk) => Effect.Effect<Graph, RegistryError>
  }
>()("@ashlar/registry/LineageGraph/v1") {}

const decodePlace = Schema.decodeUnknownEffect(Place)
const Bounds = Schema.Struct({
  direction: Schema.optionalKey(Schema.Literals(["upstream", "downstream", "both"])),
  depth: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 }))),
  nodes: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5000 }))),
})
const decodeBounds = Schema.decodeUnknownEffect(Bounds)

/** The id of a place. */
export const idOf = (place: Place): string => {
  switch (place.kind) {
    case "dataset":
      return `dataset:${JSON.stringify([place.namespace, place.name])}`
    case "run":
      return `run:${place.runId}`
    case "model":
      return `model:${place.name}/${place.version}`
    case "deployment":
      return `deployment:${place.name}@${place.alias}`
  }
}

const make = Effect.gen(function* () {
  const store = yield* Store.make
  const { wrap } = store
  const neighbours = Neighbours.make(store)

  const walk = Effect.fnUntraced(function* (from: Place, options: Walk) {
    const start = yield* Effect.mapError(decodePlace(from), (error) =>
      invalid("from", `the place is refused: ${error.message}`),
    )
    const bounds = yield* Effect.mapError(decodeBounds(options), (error) =>
      invalid("options", `the walk is refused: ${error.message}`),
    )
    const { direction = "both", depth = 10, nodes: most = 500 } = bounds
    const [there] = yield* neighbours.labels([start])
    if (there === undefined) return yield* notFound(`${idOf(start)} of the lineage`)
    const nodes = new Map<string, Node>()
    const edges = new Map<string, Edge>()
    const add = (place: Place, distance: number): void => {
      const id = idOf(place)
      if (!nodes.has(id)) nodes.set(id, { id, place, label: "", distance })
    }
    let truncated = false
    add(start, 0)
    const ways = (["upstream", "downstream"] as const).filter(
      (way) => direction === "both" || direction === way,
    )
    for (const way of ways) {
      // What lies upstream may lie downstream too, in a circle: each way has its own places.
      const seen = new Set([idOf(start)])
      let frontier: ReadonlyArray<Place> = [start]
      for (let step = 1; frontier.length > 0; step++) {
        const found = yield* neighbours[way](frontier, most + 1)
        // One look further than asked for tells whether there is more.
        if (step > depth) {
          truncated ||= found.some(({ place }) => !nodes.has(idOf(place)))
          break
        }
        const next: Array<Place> = []
        for (const { of, place, kind } of found) {
          const id = idOf(place)
          if (nodes.size >= most && !nodes.has(id)) {
            truncated = true
            continue
          }
          add(place, way === "upstream" ? -step : step)
          if (!seen.has(id)) next.push(place)
          seen.add(id)
          const [a, b] = way === "upstream" ? [place, of] : [of, place]
          const edge = { from: idOf(a), to: idOf(b), kind }
          edges.set(`${edge.from} ${edge.to} ${kind}`, edge)
        }
        frontier = next
      }
    }
    const list = [...nodes.values()]
    const labels = yield* neighbours.labels(list.map(({ place }) => place))
    return {
      nodes: list.map((node, i) => ({ ...node, label: labels[i] ?? node.id })),
      edges: [...edges.values()],
      truncated,
    }
  })

  return LineageGraph.of({ walk: (from, options = {}) => wrap(walk(from, options)) })
})

/** The lineage on a Database. */
export const layer: Layer.Layer<
  LineageGraph,
  RegistryError,
  Database.Database | BlobStore.BlobStore
> = Layer.effect(LineageGraph, make)
