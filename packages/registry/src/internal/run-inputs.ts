import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { DatasetSummary } from "../Experiments.ts"
import type { RegistryError } from "../RegistryError.ts"
import type { Tables } from "./migrations.ts"
import * as Validate from "./mlflow/validate.ts"
import * as Lists from "./series/lists.ts"
import type { Store } from "./store.ts"

/** A dataset that a run read. */
export interface RunDataset {
  readonly name: string
  readonly digest: string
  /** Kind of source, e.g. `http`, `s3`, `local`. */
  readonly sourceType: string
  /** Where it came from, as its kind writes it. */
  readonly source: string
  readonly schema?: string
  readonly profile?: string
  /** `mlflow.data.context` says what it was read for. */
  readonly tags: Readonly<Record<string, string>>
}

/** What a run read and wrote besides metrics: datasets, and models that were logged. */
export interface RunLinks {
  readonly datasets: ReadonlyArray<RunDataset>
  /** Ids of logged models it read. */
  readonly modelInputs: ReadonlyArray<string>
  /** Ids of logged models it wrote, and at which step. */
  readonly modelOutputs: ReadonlyArray<{ readonly modelId: string; readonly step: number }>
}

/** Datasets and models to add to a run. */
export interface RunInputs {
  /** The first of equal name and digest counts; one that the run has already stays as it is. */
  readonly datasets?: ReadonlyArray<RunDataset>
  readonly models?: ReadonlyArray<string>
}

const contextTag = "mlflow.data.context"
const maxSummaries = 1000

type Failed = Database.DatabaseError | RegistryError

/** Reads and writes what runs are linked to; call the writing ones inside a transaction. */
export interface Inputs {
  readonly links: (
    runIds: ReadonlyArray<string>,
  ) => Effect.Effect<ReadonlyMap<string, RunLinks>, Failed>
  readonly logInputs: (
    run: { readonly id: string; readonly experiment: string },
    inputs: RunInputs,
  ) => Effect.Effect<void, Failed>
  readonly logOutputs: (
    runId: string,
    models: ReadonlyArray<{ readonly modelId: string; readonly step: number }>,
  ) => Effect.Effect<void, Failed>
  readonly datasets: (
    experimentIds: ReadonlyArray<string>,
  ) => Effect.Effect<ReadonlyArray<DatasetSummary>, Failed>
}

/** A dataset of a run; what `registry_dataset` has is NULL for those of the port `RunTracker`. */
interface Linked {
  readonly run: string
  readonly name: string
  readonly digest: string
  readonly uri: string
  readonly context: string
  readonly source_type: string | null
  readonly source: string | null
  readonly schema: string | null
  readonly profile: string | null
}

/** Links of a store's runs. */
export const make = ({ db, build }: Store): Inputs => {
  const { dialect } = db
  // Every search of runs asks these.
  const readDatasets = db.prepare<Tables, [string], Linked>(
    (tables, [runs]) =>
      tables
        .selectFrom("registry_input as i")
        .innerJoin("registry_run as r", "r.id", "i.run")
        .leftJoin("registry_dataset as d", (join) =>
          join
            .onRef("d.experiment", "=", "r.experiment")
            .onRef("d.name", "=", "i.name")
            .onRef("d.digest", "=", "i.digest"),
        )
        .select(["i.run", "i.name", "i.digest", "i.uri", "i.context"])
        .select(["d.source_type", "d.source", "d.schema", "d.profile"])
        .where(Lists.among("i.run", runs, "text", dialect))
        .orderBy("i.name")
        .orderBy("i.digest")
        .orderBy("i.context"),
    1,
  )
  const readModels = db.prepare<Tables, [string], Tables["registry_run_model"]>(
    (tables, [runs]) =>
      tables
        .selectFrom("registry_run_model")
        .selectAll()
        .where(Lists.among("run", runs, "text", dialect))
        .orderBy("model"),
    1,
  )
  const readTags = db.prepare<Tables, [string], Tables["registry_input_tag"]>(
    (tables, [runs]) =>
      tables
        .selectFrom("registry_input_tag")
        .selectAll()
        .where(Lists.among("run", runs, "text", dialect))
        .orderBy("key"),
    1,
  )

  const links: Inputs["links"] = Effect.fnUntraced(function* (runIds) {
    const found = new Map<string, RunLinks>()
    if (runIds.length === 0) return found
    const list = Lists.texts(runIds, dialect)
    const datasets = Map.groupBy(yield* readDatasets(list), ({ run }) => run)
    const models = Map.groupBy(yield* readModels(list), ({ run }) => run)
    const tags = Map.groupBy(
      datasets.size === 0 ? [] : yield* readTags(Lists.texts([...datasets.keys()], dialect)),
      ({ run }) => run,
    )
    for (const run of new Set([...datasets.keys(), ...models.keys()])) {
      const linked = models.get(run) ?? []
      found.set(run, {
        datasets: (datasets.get(run) ?? []).map((row): RunDataset => ({
          name: row.name,
          digest: row.digest,
          sourceType: row.source_type ?? "uri",
          source: row.source ?? JSON.stringify({ uri: row.uri }),
          ...(row.schema === null ? {} : { schema: row.schema }),
          ...(row.profile === null ? {} : { profile: row.profile }),
          tags: {
            ...(row.context === "" ? {} : { [contextTag]: row.context }),
            ...Object.fromEntries(
              (tags.get(run) ?? [])
                .filter(({ name, digest }) => name === row.name && digest === row.digest)
                .map(({ key, value }) => [key, value]),
            ),
          },
        })),
        modelInputs: linked.flatMap(({ role, model }) => (role === "input" ? [model] : [])),
        modelOutputs: linked.flatMap(({ role, model, step }) =>
          role === "output" ? [{ modelId: model, step }] : [],
        ),
      })
    }
    return found
  })

  /** In the order of their names, so that two writers do not wait for each other. */
  const distinct = (datasets: ReadonlyArray<RunDataset>): ReadonlyArray<RunDataset> => {
    const byName = new Map<string, RunDataset>()
    for (const dataset of datasets) {
      const name = JSON.stringify([dataset.name, dataset.digest])
      if (!byName.has(name)) byName.set(name, dataset)
    }
    return [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, dataset]) => dataset)
  }

  const logInputs: Inputs["logInputs"] = Effect.fnUntraced(function* (
    run,
    { datasets = [], models = [] },
  ) {
    for (const dataset of datasets) {
      const wrong = Validate.dataset(dataset)
      if (wrong !== undefined) return yield* wrong
    }
    const known = new Set(
      datasets.length === 0
        ? []
        : (yield* db.all(
            build.selectFrom("registry_input").select(["name", "digest"]).where("run", "=", run.id),
          )).map(({ name, digest }) => JSON.stringify([name, digest])),
    )
    const added = distinct(datasets).filter(
      ({ name, digest }) => !known.has(JSON.stringify([name, digest])),
    )
    yield* db.insertMany(
      "registry_dataset",
      added.map((dataset) => ({
        experiment: run.experiment,
        name: dataset.name,
        digest: dataset.digest,
        source_type: dataset.sourceType,
        source: dataset.source,
        schema: dataset.schema ?? null,
        profile: dataset.profile ?? null,
      })),
      { onConflict: "ignore" },
    )
    yield* db.insertMany(
      "registry_input",
      added.map(({ name, digest, source, tags }) => ({
        run: run.id,
        name,
        digest,
        uri: source,
        context: tags[contextTag] ?? "",
        rows: null,
      })),
      { onConflict: "ignore" },
    )
    yield* db.insertMany(
      "registry_input_tag",
      added.flatMap(({ name, digest, tags }) =>
        Object.entries(tags).map(([key, value]) => ({ run: run.id, name, digest, key, value })),
      ),
      { onConflict: "ignore" },
    )
    yield* db.insertMany(
      "registry_run_model",
      [...new Set(models)].sort().map((model) => ({ run: run.id, role: "input", model, step: 0 })),
      { onConflict: "ignore" },
    )
  })

  return {
    links,
    logInputs,
    logOutputs: (runId, models) => {
      const steps = new Map(models.map(({ modelId, step }) => [modelId, step]))
      return Effect.asVoid(
        db.insertMany(
          "registry_run_model",
          [...steps]
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([model, step]) => ({ run: runId, role: "output", model, step })),
          { onConflict: "ignore" },
        ),
      )
    },
    datasets: (experimentIds) =>
      experimentIds.length === 0
        ? Effect.succeed([])
        : Effect.map(
            db.all(
              build
                .selectFrom("registry_input as i")
                .innerJoin("registry_run as r", "r.id", "i.run")
                .select(["r.experiment", "i.name", "i.digest", "i.context"])
                .distinct()
                .where("r.experiment", "in", [...experimentIds])
                .orderBy("r.experiment")
                .orderBy("i.name")
                .orderBy("i.digest")
                .orderBy("i.context")
                .limit(maxSummaries),
            ),
            (rows) =>
              rows.map(({ experiment, name, digest, context }) => ({
                experimentId: experiment,
                name,
                digest,
                ...(context === "" ? {} : { context }),
              })),
          ),
  }
}
