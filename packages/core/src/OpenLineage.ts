/**
 * OpenLineage 2-0-2 run events: which job run read and wrote which datasets.
 *
 * @module
 */
import * as Schema from "effect/Schema"

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
