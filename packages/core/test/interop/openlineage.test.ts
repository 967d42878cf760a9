import { Digest, Id, OpenLineage } from "@ashlar/core"
import * as Arrow from "apache-arrow"
import { expect, it } from "vitest"
import { ask } from "./oracle.ts"

it("lineage events agree with OpenLineage's own client on shapes and facet versions", () => {
  const job = { namespace: "flights", name: "train" }
  const schema = new Arrow.Schema([new Arrow.Field("delay", new Arrow.Float64(), true)])
  const input = {
    runId: Id.make(),
    job,
    parent: { runId: Id.make(), job },
    inputs: [{ namespace: "file", name: "/data/x.parquet", schema, digest: Digest.of("x") }],
    outputs: [{ namespace: "file", name: "/data/y.parquet", rows: 1 }],
  }
  const events = [
    OpenLineage.start(input),
    OpenLineage.complete(input),
    OpenLineage.fail({ ...input, error: { message: "no" } }),
  ]
  const answers = ask("parse_lineage", events)
  expect(answers).toHaveLength(3)
  const url = (facet: unknown): unknown =>
    typeof facet === "object" && facet !== null && "_schemaURL" in facet
      ? facet._schemaURL
      : undefined
  const [first, , failed] = events
  expect(answers).toMatchObject(
    events.map((event) => ({
      schemaURL: event.schemaURL,
      parent: url(event.run.facets?.["parent"]),
      schema: url(event.inputs?.[0]?.facets?.["schema"]),
      version: url(event.inputs?.[0]?.facets?.["version"]),
      job: url(event.job.facets?.["jobType"]),
      error: url(failed?.run.facets?.["errorMessage"]),
      output: url(first?.outputs?.[0]?.outputFacets?.["outputStatistics"]),
      fields: [{ name: "delay", type: "float64" }],
    })),
  )
})
