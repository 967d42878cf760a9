/** A server that speaks MLflow's REST API, written to so that writing again changes nothing. */
import { openAsBlob } from "node:fs"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { RegistryError } from "../../RegistryError.ts"
import type { Rest } from "../client/rest.ts"
import {
  clipped,
  digestTag,
  distinct,
  type ExperimentRecord,
  type LoggedModelRecord,
  type ModelRecord,
  originTag,
  type PointRecord,
  type RunRecord,
} from "./records.ts"
import { proxied, proxyRoot, query } from "./server.ts"
import * as Wire from "./wire.ts"

const api = "api/2.0/mlflow"

const pairs = (record: Readonly<Record<string, string>>) =>
  Object.entries(record).map(([key, value]) => ({ key, value }))

/** A part of a list at a time: MLflow takes so much in one batch. */
const parts = <A>(items: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  )

/** A copy that is there already. */
export interface Copy {
  readonly id: string
  readonly artifactUri: string
  /** Of a whole copy. */
  readonly digest?: string
}

/** What a transfer does to the store it writes. */
export interface Target {
  /** The experiment of that name, made when it is not there. */
  readonly experiment: (record: ExperimentRecord) => Effect.Effect<string, RegistryError>
  /** Copies that earlier transfers made in an experiment, by the id they were copied from. */
  readonly copies: (experimentId: string) => Effect.Effect<ReadonlyMap<string, Copy>, RegistryError>
  readonly createRun: (run: RunRecord, experimentId: string) => Effect.Effect<Copy, RegistryError>
  readonly describe: (copy: Copy, run: RunRecord) => Effect.Effect<void, RegistryError>
  readonly points: (
    copy: Copy,
    key: string,
    points: ReadonlyArray<PointRecord>,
  ) => Effect.Effect<void, RegistryError>
  readonly upload: (copy: Copy, path: string, file: string) => Effect.Effect<void, RegistryError>
  readonly outputs: (
    copy: Copy,
    models: ReadonlyArray<{ readonly modelId: string; readonly step: number }>,
  ) => Effect.Effect<void, RegistryError>
  readonly tag: (copy: Copy, key: string, value: string) => Effect.Effect<void, RegistryError>
  /** Status and end. */
  readonly finish: (copy: Copy, run: RunRecord) => Effect.Effect<void, RegistryError>
  /** Logged models that earlier transfers made in an experiment, by the id they were copied from. */
  readonly loggedCopies: (
    experimentId: string,
  ) => Effect.Effect<ReadonlyMap<string, Copy>, RegistryError>
  readonly createLoggedModel: (
    model: LoggedModelRecord,
    experimentId: string,
    runId: string | undefined,
  ) => Effect.Effect<Copy, RegistryError>
  readonly finishLoggedModel: (
    copy: Copy,
    ready: boolean,
    digest: string,
  ) => Effect.Effect<void, RegistryError>
  readonly model: (model: ModelRecord) => Effect.Effect<void, RegistryError>
  readonly alias: (
    name: string,
    alias: string,
    version: number,
  ) => Effect.Effect<void, RegistryError>
  readonly createVersion: (version: {
    readonly name: string
    readonly source: string
    readonly runId?: string
    readonly modelId?: string
    readonly description: string
    readonly tags: Readonly<Record<string, string>>
  }) => Effect.Effect<number, RegistryError>
  readonly removeVersion: (name: string, version: number) => Effect.Effect<void, RegistryError>
  readonly stage: (
    name: string,
    version: number,
    stage: string,
  ) => Effect.Effect<void, RegistryError>
}

const Created = Schema.Struct({ experiment_id: Schema.String })
const CreatedVersion = Schema.Struct({
  model_version: Schema.Struct({ version: Schema.Union([Schema.String, Schema.Number]) }),
})

const copyOf = (info: typeof Wire.Run.Type.info, tags: Readonly<Record<string, string>>): Copy => {
  const digest = tags[digestTag]
  return {
    id: info.run_id,
    artifactUri: info.artifact_uri ?? "",
    ...(digest === undefined ? {} : { digest }),
  }
}

/** A server as a target. */
export const target = (rest: Rest): Target => {
  const send =
    (method: "POST" | "PATCH" | "DELETE") =>
    <S extends Schema.ConstraintDecoder<unknown>>(path: string, json: unknown, answer: S) =>
      rest.json({ method, path: `${api}/${path}`, json }, answer)
  const post = send("POST")
  const void_ = (method: "POST" | "PATCH" | "DELETE", path: string, json: unknown) =>
    Effect.asVoid(send(method)(path, json, Wire.Anything))
  const existing = <A>(effect: Effect.Effect<A, RegistryError>, there: A) =>
    Effect.catchIf(
      effect,
      (error) => error.reason === "AlreadyExists",
      () => Effect.succeed(there),
    )

  const setTag = (runId: string, key: string, value: string) =>
    void_("POST", "runs/set-tag", { run_id: runId, key, value })

  return {
    experiment: Effect.fnUntraced(function* ({ name, tags }) {
      const path = query("experiments/get-by-name", { experiment_name: name })
      const there = yield* Effect.catchIf(
        rest.json({ method: "GET", path }, Wire.OneExperiment),
        (error) => error.reason === "NotFound",
        () => Effect.succeed(undefined),
      )
      if (there?.experiment.lifecycle_stage === "deleted") {
        return yield* new RegistryError({
          reason: "Conflict",
          field: "experiment",
          message: `the experiment ${name} is deleted where it is to go: restore or rename it`,
        })
      }
      const { experiment_id: id } =
        there?.experiment ?? (yield* post("experiments/create", { name }, Created))
      for (const [key, value] of Object.entries(tags)) {
        yield* void_("POST", "experiments/set-experiment-tag", { experiment_id: id, key, value })
      }
      return id
    }),
    copies: Effect.fnUntraced(function* (experimentId) {
      const found = new Map<string, Copy>()
      let token: string | undefined
      do {
        const page: typeof Wire.Runs.Type = yield* post(
          "runs/search",
          {
            experiment_ids: [experimentId],
            filter: `tags.\`${originTag}\` LIKE '%'`,
            max_results: 1000,
            ...(token === undefined ? {} : { page_token: token }),
          },
          Wire.Runs,
        )
        for (const { info, data = {} } of page.runs ?? []) {
          const tags = Wire.recordOf(data.tags)
          const origin = tags[originTag]
          if (origin !== undefined) found.set(origin, copyOf(info, tags))
        }
        token = page.next_page_token === "" ? undefined : page.next_page_token
      } while (token !== undefined)
      return found
    }),
    createRun: (run, experimentId) =>
      Effect.map(
        post(
          "runs/create",
          {
            experiment_id: experimentId,
            user_id: run.user,
            run_name: run.name,
            start_time: run.started,
            tags: pairs({ [originTag]: run.id }),
          },
          Wire.OneRun,
        ),
        ({ run: { info } }) => copyOf(info, {}),
      ),
    describe: Effect.fnUntraced(function* ({ id }, run) {
      for (const params of parts(pairs(run.params), 100)) {
        yield* void_("POST", "runs/log-batch", { run_id: id, params })
      }
      const { [originTag]: _, [digestTag]: __, ...tags } = run.tags
      for (const some of parts(pairs(tags), 100)) {
        yield* void_("POST", "runs/log-batch", { run_id: id, tags: some })
      }
      if (run.datasets.length === 0) return
      yield* void_("POST", "runs/log-inputs", {
        run_id: id,
        datasets: run.datasets.map(({ tags: given, sourceType, ...dataset }) => ({
          tags: pairs(given),
          dataset: { ...dataset, source_type: sourceType },
        })),
      })
    }),
    points: ({ id }, key, points) =>
      Effect.forEach(
        parts(distinct(points), 1000),
        (some) =>
          void_("POST", "runs/log-batch", {
            run_id: id,
            metrics: some.map(({ value, time, step }) => ({
              key,
              value: Number.isNaN(value) ? "NaN" : clipped(value),
              timestamp: time,
              step,
            })),
          }),
        { discard: true },
      ),
    upload: (copy, path, file) =>
      Effect.flatMap(proxyRoot(copy.artifactUri, copy.id), (root) =>
        rest.transfer(
          { method: "PUT", path: proxied(root, path), body: () => openAsBlob(file) },
          async (response) => void (await response.arrayBuffer()),
        ),
      ),
    outputs: ({ id }, models) =>
      void_("POST", "runs/outputs", {
        run_id: id,
        models: models.map(({ modelId, step }) => ({ model_id: modelId, step })),
      }),
    tag: ({ id }, key, value) => setTag(id, key, value),
    finish: ({ id }, run) =>
      run.status === "RUNNING" && run.ended === undefined
        ? Effect.void
        : void_("POST", "runs/update", {
            run_id: id,
            status: run.status,
            ...(run.ended === undefined ? {} : { end_time: run.ended }),
          }),
    loggedCopies: Effect.fnUntraced(function* (experimentId) {
      const found = new Map<string, Copy>()
      let token: string | undefined
      do {
        const page: typeof Wire.LoggedModels.Type = yield* post(
          "logged-models/search",
          {
            experiment_ids: [experimentId],
            filter: `tags.\`${originTag}\` LIKE '%'`,
            max_results: 50,
            ...(token === undefined ? {} : { page_token: token }),
          },
          Wire.LoggedModels,
        )
        for (const { info } of page.models ?? []) {
          const tags = Wire.recordOf(info.tags)
          const { [originTag]: origin, [digestTag]: digest } = tags
          if (origin === undefined) continue
          found.set(origin, {
            id: info.model_id,
            artifactUri: info.artifact_uri ?? "",
            ...(digest === undefined ? {} : { digest }),
          })
        }
        token = page.next_page_token === "" ? undefined : page.next_page_token
      } while (token !== undefined)
      return found
    }),
    createLoggedModel: (model, experimentId, runId) =>
      Effect.map(
        post(
          "logged-models",
          {
            experiment_id: experimentId,
            name: model.name,
            ...(model.type === undefined ? {} : { model_type: model.type }),
            ...(runId === undefined ? {} : { source_run_id: runId }),
            params: pairs(model.params),
            tags: pairs({ ...model.tags, [originTag]: model.id }),
          },
          Wire.OneLoggedModel,
        ),
        ({ model: { info } }) => ({ id: info.model_id, artifactUri: info.artifact_uri ?? "" }),
      ),
    finishLoggedModel: Effect.fnUntraced(function* ({ id }, ready, digest) {
      const path = `logged-models/${encodeURIComponent(id)}`
      yield* void_("PATCH", path, {
        model_id: id,
        status: ready ? "LOGGED_MODEL_READY" : "LOGGED_MODEL_UPLOAD_FAILED",
      })
      yield* void_("PATCH", `${path}/tags`, {
        model_id: id,
        tags: pairs({ [digestTag]: digest }),
      })
    }),
    model: ({ name, description, tags }) =>
      existing(
        void_("POST", "registered-models/create", { name, description, tags: pairs(tags) }),
        undefined,
      ),
    alias: (name, alias, version) =>
      void_("POST", "registered-models/alias", { name, alias, version: String(version) }),
    createVersion: ({ name, source, runId, modelId, description, tags }) =>
      Effect.map(
        post(
          "model-versions/create",
          {
            name,
            source,
            ...(runId === undefined ? {} : { run_id: runId }),
            ...(modelId === undefined ? {} : { model_id: modelId }),
            description,
            tags: pairs(tags),
          },
          CreatedVersion,
        ),
        ({ model_version: { version } }) => Number(version),
      ),
    removeVersion: (name, version) =>
      void_("DELETE", "model-versions/delete", { name, version: String(version) }),
    stage: (name, version, stage) =>
      void_("POST", "model-versions/transition-stage", {
        name,
        version: String(version),
        stage,
        archive_existing_versions: false,
      }),
  }
}
