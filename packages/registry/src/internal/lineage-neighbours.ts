import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { Edge, Place } from "../LineageGraph.ts"
import type { Store } from "./store.ts"

/** A place next to another. */
export interface Neighbour {
  /** The place it is next to. */
  readonly of: Place
  readonly place: Place
  readonly kind: Edge["kind"]
}

type Found = Effect.Effect<ReadonlyArray<Neighbour>, Database.DatabaseError>

/** Looks one step up or down from many places, with a few queries for all of them. */
export interface Neighbours {
  /** What the places were made from. */
  readonly upstream: (places: ReadonlyArray<Place>, limit: number) => Found
  /** What was made from the places. */
  readonly downstream: (places: ReadonlyArray<Place>, limit: number) => Found
  /** What to call the places, in their order; a model or alias that is not there has no label. */
  readonly labels: (
    places: ReadonlyArray<Place>,
  ) => Effect.Effect<ReadonlyArray<string | undefined>, Database.DatabaseError>
}

/** Most places of one statement. */
const chunk = 200

type DatasetPlace = Extract<Place, { readonly kind: "dataset" }>
type RunPlace = Extract<Place, { readonly kind: "run" }>
type ModelPlace = Extract<Place, { readonly kind: "model" }>
type DeploymentPlace = Extract<Place, { readonly kind: "deployment" }>

const sorted = (places: ReadonlyArray<Place>) => ({
  datasets: places.filter((place): place is DatasetPlace => place.kind === "dataset"),
  runs: places.filter((place): place is RunPlace => place.kind === "run"),
  models: places.filter((place): place is ModelPlace => place.kind === "model"),
  deployments: places.filter((place): place is DeploymentPlace => place.kind === "deployment"),
})

/** Where an input lies, as OpenLineage names datasets; by its own name where its URI says nothing. */
export const datasetOf = (input: { readonly name: string; readonly uri: string }): DatasetPlace => {
  const { name, uri } = input
  if (URL.canParse(uri)) {
    const { protocol, host, pathname } = new URL(uri)
    if (protocol === "file:") return { kind: "dataset", namespace: "file", name: pathname }
    if (host !== "" && pathname.length > 1) {
      return { kind: "dataset", namespace: `${protocol}//${host}`, name: pathname.slice(1) }
    }
  }
  return { kind: "dataset", namespace: "registry", name: name === "" ? "unnamed" : name }
}

/** URIs that {@link datasetOf} reads as a dataset. */
const urisOf = ({ namespace, name }: DatasetPlace): string =>
  namespace === "file" ? `file://${name}` : `${namespace}/${name}`

/** The neighbours in a store. */
export const make = ({ db, build }: Store): Neighbours => {
  const inChunks = <P extends Place>(
    places: ReadonlyArray<P>,
    look: (some: ReadonlyArray<P>) => Found,
  ): Found =>
    Effect.gen(function* () {
      const found: Array<Neighbour> = []
      for (let from = 0; from < places.length; from += chunk) {
        found.push(...(yield* look(places.slice(from, from + chunk))))
      }
      return found
    })

  /** Runs that read (input) or wrote (output) datasets, by events. */
  const usersOf = (
    datasets: ReadonlyArray<DatasetPlace>,
    role: "input" | "output",
    limit: number,
  ): Found =>
    inChunks(datasets, (some) =>
      Effect.map(
        db.all(
          build
            .selectFrom("registry_lineage_use")
            .select(["run", "namespace", "name"])
            .where("role", "=", role)
            .where((row) =>
              row.or(
                some.map(({ namespace, name }) =>
                  row.and([row("namespace", "=", namespace), row("name", "=", name)]),
                ),
              ),
            )
            .orderBy("time", "desc")
            .limit(limit),
        ),
        (rows) =>
          rows.map(({ run, namespace, name }) => ({
            of: { kind: "dataset", namespace, name },
            place: { kind: "run", runId: run },
            kind: role === "input" ? "read" : "wrote",
          })),
      ),
    )

  /** Runs of this registry that recorded datasets as inputs. */
  const recordedReaders = (datasets: ReadonlyArray<DatasetPlace>, limit: number): Found =>
    inChunks(datasets, (some) => {
      const byUri = new Map(some.map((place) => [urisOf(place), place]))
      const named = new Map(
        some.flatMap((place) =>
          place.namespace === "registry" ? [[place.name, place] as const] : [],
        ),
      )
      return Effect.map(
        db.all(
          build
            .selectFrom("registry_input")
            .select(["run", "name", "uri"])
            .where((row) =>
              row.or([
                row("uri", "in", [...byUri.keys()]),
                ...(named.size === 0 ? [] : [row("name", "in", [...named.keys()])]),
              ]),
            )
            .orderBy("run", "desc")
            .limit(limit),
        ),
        (rows) =>
          rows.flatMap(({ run, name, uri }): ReadonlyArray<Neighbour> => {
            const of = byUri.get(uri) ?? named.get(name)
            const same = datasetOf({ name, uri })
            return of !== undefined && same.namespace === of.namespace && same.name === of.name
              ? [{ of, place: { kind: "run", runId: run }, kind: "read" }]
              : []
          }),
      )
    })

  /** Datasets that runs read or wrote. */
  const usedBy = (runs: ReadonlyArray<RunPlace>, role: "input" | "output", limit: number): Found =>
    inChunks(runs, (some) =>
      Effect.gen(function* () {
        const ids = some.map(({ runId }) => runId)
        const uses = yield* db.all(
          build
            .selectFrom("registry_lineage_use")
            .select(["run", "namespace", "name"])
            .where("role", "=", role)
            .where("run", "in", ids)
            .limit(limit),
        )
        const found = uses.map(({ run, namespace, name }): Neighbour => ({
          of: { kind: "run", runId: run },
          place: { kind: "dataset", namespace, name },
          kind: role === "input" ? "read" : "wrote",
        }))
        if (role === "output") return found
        const inputs = yield* db.all(
          build
            .selectFrom("registry_input")
            .select(["run", "name", "uri"])
            .where("run", "in", ids)
            .limit(limit),
        )
        const recorded = inputs.map(({ run, ...input }): Neighbour => ({
          of: { kind: "run", runId: run },
          place: datasetOf(input),
          kind: "read",
        }))
        return [...found, ...recorded]
      }),
    )

  const versionsOf = (runs: ReadonlyArray<RunPlace>, limit: number): Found =>
    inChunks(runs, (some) =>
      Effect.map(
        db.all(
          build
            .selectFrom("registry_version")
            .select(["model", "version", "run"])
            .where(
              "run",
              "in",
              some.map(({ runId }) => runId),
            )
            .limit(limit),
        ),
        (rows) =>
          rows.map(({ model, version, run }) => ({
            of: { kind: "run", runId: run ?? "" },
            place: { kind: "model", name: model, version },
            kind: "registered",
          })),
      ),
    )

  const pairs = <A extends { readonly name: string }>(places: ReadonlyArray<A>) => [
    ...new Set(places.map(({ name }) => name)),
  ]

  const versionRows = (models: ReadonlyArray<ModelPlace>) =>
    db.all(
      build
        .selectFrom("registry_version")
        .select(["model", "version", "run"])
        .where("model", "in", pairs(models))
        .where("version", "in", [...new Set(models.map(({ version }) => version))])
        .where("deleted", "is", null),
    )

  const aliasRows = (places: ReadonlyArray<ModelPlace | DeploymentPlace>) =>
    db.all(build.selectFrom("registry_alias").selectAll().where("model", "in", pairs(places)))

  const runsOfVersions = (models: ReadonlyArray<ModelPlace>): Found =>
    inChunks(models, (some) =>
      Effect.map(versionRows(some), (rows) =>
        some.flatMap((of): ReadonlyArray<Neighbour> => {
          const run = rows.find((r) => r.model === of.name && r.version === of.version)?.run
          return run == null || run === ""
            ? []
            : [{ of, place: { kind: "run", runId: run }, kind: "registered" }]
        }),
      ),
    )

  const deployments = (models: ReadonlyArray<ModelPlace>): Found =>
    inChunks(models, (some) =>
      Effect.map(aliasRows(some), (rows) =>
        some.flatMap((of) =>
          rows
            .filter(({ model, version }) => model === of.name && version === of.version)
            .map(({ model, alias }): Neighbour => ({
              of,
              place: { kind: "deployment", name: model, alias },
              kind: "deployed",
            })),
        ),
      ),
    )

  const deployed = (places: ReadonlyArray<DeploymentPlace>): Found =>
    inChunks(places, (some) =>
      Effect.map(aliasRows(some), (rows) =>
        some.flatMap((of): ReadonlyArray<Neighbour> => {
          const row = rows.find(({ model, alias }) => model === of.name && alias === of.alias)
          if (row === undefined) return []
          const { model: name, version } = row
          return [{ of, place: { kind: "model", name, version }, kind: "deployed" }]
        }),
      ),
    )

  const labels = Effect.fnUntraced(function* (places: ReadonlyArray<Place>) {
    const names = new Map<string, string>()
    const known = new Set<string>()
    for (let from = 0; from < places.length; from += chunk) {
      const { runs, models, deployments: aliases } = sorted(places.slice(from, from + chunk))
      const ids = runs.map(({ runId }) => runId)
      if (ids.length > 0) {
        const jobs = yield* db.all(
          build.selectFrom("registry_lineage_use").select(["run", "job"]).where("run", "in", ids),
        )
        for (const { run, job } of jobs) names.set(run, job)
        const rows = yield* db.all(
          build.selectFrom("registry_run").select(["id", "name"]).where("id", "in", ids),
        )
        for (const { id, name } of rows) names.set(id, name)
      }
      if (models.length > 0) {
        for (const { model, version } of yield* versionRows(models)) {
          known.add(`${model}/${version}`)
        }
      }
      if (aliases.length > 0) {
        for (const { model, alias } of yield* aliasRows(aliases)) known.add(`${model}@${alias}`)
      }
    }
    const only = (label: string) => (known.has(label) ? label : undefined)
    return places.map((place) => {
      switch (place.kind) {
        case "dataset":
          return place.name
        case "run":
          return names.get(place.runId) ?? place.runId
        case "model":
          return only(`${place.name}/${place.version}`)
        case "deployment":
          return only(`${place.name}@${place.alias}`)
      }
    })
  })

  const all = (parts: ReadonlyArray<Found>): Found =>
    Effect.map(Effect.all(parts), (found) => found.flat())

  return {
    upstream: (places, limit) => {
      const { datasets, runs, models, deployments: aliases } = sorted(places)
      return all([
        usersOf(datasets, "output", limit),
        usedBy(runs, "input", limit),
        runsOfVersions(models),
        deployed(aliases),
      ])
    },
    downstream: (places, limit) => {
      const { datasets, runs, models } = sorted(places)
      return all([
        usersOf(datasets, "input", limit),
        recordedReaders(datasets, limit),
        usedBy(runs, "output", limit),
        versionsOf(runs, limit),
        deployments(models),
      ])
    },
    labels,
  }
}
