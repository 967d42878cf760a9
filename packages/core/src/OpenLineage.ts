/**
 * OpenLineage 2-0-2 run events: which job run read and wrote which datasets.
 *
 * @module
 */
import type * as Arrow from "apache-arrow"
import * as Schema from "effect/Schema"
import type { Digest } from "./Digest.ts"
import { nameOf } from "./internal/columnType.ts"
import * as Timestamps from "./Timestamp.ts"

const Facets = Schema.Record(Schema.String, Schema.Json)

/** A dataset a run read or wrote. */
export const LineageDataset = Schema.Struct({
  namespace: Schema.NonEmptyString,
  name: Schema.NonEmptyString,
  facets: Schema.optionalKey(Facets),
  inputFacets: Schema.optionalKey(Facets),
  outputFacets: Schema.optionalKey(Facets),
})

/** Schema of a run event. A run has one START and one terminal event. */
export const RunEvent = Schema.Struct({
  eventType: Schema.Literals(["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]),
  /** ISO 8601. */
  eventTime: Schema.String,
  producer: Schema.String,
  schemaURL: Schema.String,
  run: Schema.Struct({ runId: Schema.String, facets: Schema.optionalKey(Facets) }),
  job: Schema.Struct({
    namespace: Schema.NonEmptyString,
    name: Schema.NonEmptyString,
    facets: Schema.optionalKey(Facets),
  }),
  inputs: Schema.optionalKey(Schema.Array(LineageDataset)),
  outputs: Schema.optionalKey(Schema.Array(LineageDataset)),
})

/** One OpenLineage run event. */
export type RunEvent = typeof RunEvent.Type

/** `schemaURL` of the events this version writes. */
export const schemaUrl = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"

/** One dataset a run read or wrote. */
export type LineageDataset = typeof LineageDataset.Type

const producer = "pkg:npm/%40ashlar/core"

const facet = (file: string, content: Readonly<Record<string, Schema.Json>>): Schema.Json => {
  const name = file.slice(file.lastIndexOf("/") + 1, -".json".length)
  return {
    _producer: producer,
    _schemaURL: `https://openlineage.io/spec/facets/${file}#/$defs/${name}`,
    ...content,
  }
}

/** What is known of a dataset. */
export interface DatasetInput {
  /** E.g. `file`, `s3://bucket`, `postgres://host:5432`, as OpenLineage's naming says. */
  readonly namespace: string
  readonly name: string
  readonly schema?: Arrow.Schema
  /** Content digest: the dataset's version. */
  readonly digest?: Digest
  /** Rows written; only for outputs. */
  readonly rows?: number
  /** Bytes written; only for outputs. */
  readonly bytes?: number
}

/** A dataset with its schema, version and, for outputs, statistics as OpenLineage facets. */
export const dataset = (input: DatasetInput): LineageDataset => {
  const facets: Record<string, Schema.Json> = {}
  if (input.schema !== undefined) {
    const fields = input.schema.fields.map((f) => ({ name: f.name, type: nameOf(f.type) }))
    facets["schema"] = facet("1-2-0/SchemaDatasetFacet.json", { fields })
  }
  if (input.digest !== undefined) {
    facets["version"] = facet("1-0-1/DatasetVersionDatasetFacet.json", {
      datasetVersion: input.digest,
    })
  }
  const statistics = {
    ...(input.rows === undefined ? {} : { rowCount: input.rows }),
    ...(input.bytes === undefined ? {} : { size: input.bytes }),
  }
  const outputStatistics = facet("1-0-2/OutputStatisticsOutputDatasetFacet.json", statistics)
  return {
    namespace: input.namespace,
    name: input.name,
    ...(Object.keys(facets).length === 0 ? {} : { facets }),
    ...(Object.keys(statistics).length === 0 ? {} : { outputFacets: { outputStatistics } }),
  }
}

/** A run of a job. */
export interface RunInput {
  /** UUID of the run; the same in all its events. */
  readonly runId: string
  readonly job: { readonly namespace: string; readonly name: string }
  /** The run that started this one. */
  readonly parent?: {
    readonly runId: string
    readonly job: { readonly namespace: string; readonly name: string }
  }
  readonly inputs?: ReadonlyArray<DatasetInput>
  readonly outputs?: ReadonlyArray<DatasetInput>
  /** Default now. */
  readonly time?: Timestamps.Timestamp
}

const event = (
  eventType: RunEvent["eventType"],
  input: RunInput,
  extra: Readonly<Record<string, Schema.Json>> = {},
): RunEvent => {
  const { parent } = input
  const facets: Record<string, Schema.Json> = { ...extra }
  if (parent !== undefined) {
    facets["parent"] = facet("1-2-0/ParentRunFacet.json", {
      run: { runId: parent.runId },
      job: { namespace: parent.job.namespace, name: parent.job.name },
    })
  }
  return {
    eventType,
    eventTime: Timestamps.toIso(input.time ?? Timestamps.now()),
    producer,
    schemaURL: schemaUrl,
    run: { runId: input.runId, ...(Object.keys(facets).length === 0 ? {} : { facets }) },
    job: {
      namespace: input.job.namespace,
      name: input.job.name,
      facets: {
        jobType: facet("2-0-4/JobTypeJobFacet.json", {
          processingType: "BATCH",
          integration: "ASHLAR",
          jobType: "JOB",
        }),
      },
    },
    inputs: (input.inputs ?? []).map(dataset),
    outputs: (input.outputs ?? []).map(dataset),
  }
}

/**
 * A run began.
 *
 * @example
 * ```ts
 * import { OpenLineage } from "@ashlar/core"
 *
 * const job = { namespace: "flights", name: "train" }
 * const runId = "0195f2a0-0000-7000-8000-000000000000"
 * OpenLineage.start({ runId, job, time: 0 }).eventTime // => "1970-01-01T00:00:00Z"
 * ```
 */
export const start = (input: RunInput): RunEvent => event("START", input)

/** A run ended well. */
export const complete = (input: RunInput): RunEvent => event("COMPLETE", input)

/** A run was stopped. */
export const abort = (input: RunInput): RunEvent => event("ABORT", input)

/** A run failed, with the reason. */
export const fail = (
  input: RunInput & { readonly error: { readonly message: string; readonly stack?: string } },
): RunEvent =>
  event("FAIL", input, {
    errorMessage: facet("1-0-1/ErrorMessageRunFacet.json", {
      message: input.error.message,
      programmingLanguage: "JAVASCRIPT",
      ...(input.error.stack === undefined ? {} : { stackTrace: input.error.stack }),
    }),
  })
