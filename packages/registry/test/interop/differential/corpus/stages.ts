import { type Case, type Family, get, post } from "../cases.ts"

const move = (name: string, version: unknown, stage: unknown, archive: unknown = false): Case =>
  post(name, "model-versions/transition-stage", {
    name: "st-one",
    version,
    stage,
    archive_existing_versions: archive,
  })

/** Stages, which MLflow deprecates and serves. */
export const stages: Family = {
  name: "stages",
  cases: [
    post("model", "registered-models/create", { name: "st-one" }),
    ...[1, 2, 3].map((number) =>
      post(`version ${number}`, "model-versions/create", {
        name: "st-one",
        source: `s3://bucket/${number}`,
      }),
    ),
    move("to staging", "1", "Staging"),
    move("to production", "2", "Production"),
    move("lower case", "3", "production"),
    get("version", "model-versions/get", { name: "st-one", version: "3" }),
    post("latest", "registered-models/get-latest-versions", { name: "st-one" }),
    get("latest by get", "registered-models/get-latest-versions", { name: "st-one" }),
    post("latest of stage", "registered-models/get-latest-versions", {
      name: "st-one",
      stages: ["Production"],
    }),
    post("latest of lower case", "registered-models/get-latest-versions", {
      name: "st-one",
      stages: ["staging", "none"],
    }),
    post("latest of unknown stage", "registered-models/get-latest-versions", {
      name: "st-one",
      stages: ["Nowhere"],
    }),
    move("archiving others", "1", "Production", true),
    get("archived", "model-versions/get", { name: "st-one", version: "2" }),
    get("model with stages", "registered-models/get", { name: "st-one" }),
    move("archive", "1", "Archived"),
    move("archive with archiving", "1", "Archived", true),
    move("to none", "1", "None"),
    move("none with archiving", "1", "None", true),
    move("unknown stage", "1", "Nowhere"),
    move("empty stage", "1", ""),
    move("without stage", "1", undefined),
    move("unknown version", "99", "Staging"),
    move("word as version", "x", "Staging"),
    move("text as archiving", "1", "Staging", "yes"),
    post("without archiving", "model-versions/transition-stage", {
      name: "st-one",
      version: "1",
      stage: "Staging",
    }),
    post("unknown model", "model-versions/transition-stage", {
      name: "st-nobody",
      version: "1",
      stage: "Staging",
      archive_existing_versions: false,
    }),
    post("without model", "model-versions/transition-stage", {
      version: "1",
      stage: "Staging",
      archive_existing_versions: false,
    }),
    get("search", "model-versions/search", { filter: "name = 'st-one'" }),
  ],
}
