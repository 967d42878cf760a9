import type { Allowed } from "./allowlist.ts"

/** Differences of artifacts that are meant. */
export const artifacts: ReadonlyArray<Allowed> = [
  {
    cases: /^artifacts\/upload( |$)/,
    aspects: ["body"],
    when: (theirs, ours) => theirs.body === "" && JSON.stringify(ours.body) === "{}",
    reason:
      "MLflow's proxy answers nothing since it left Flask, before that an empty object, as ours; no client reads it.",
  },
  {
    cases: "artifacts/download directory",
    aspects: ["code", "message", "body"],
    when: (theirs, ours) => theirs.status === 400 && ours.code === "INVALID_PARAMETER_VALUE",
    reason: "MLflow answers this in another shape than its own errors, which its clients expect.",
  },
  {
    cases: "artifacts/get artifact without path",
    aspects: ["code", "message", "body"],
    when: (theirs, ours) => theirs.status === 400 && ours.code === "INVALID_PARAMETER_VALUE",
    reason: "MLflow answers with a page of HTML; ours with MLflow's own error.",
  },
  {
    cases: /^artifacts\/download (outside by backslash|NUL)$/,
    aspects: ["status", "code", "message"],
    when: (theirs, ours) => theirs.status === 404 && ours.status === 400,
    reason: "MLflow looks for such a file and finds none; ours keeps no such names.",
  },
  {
    cases: "artifacts/get model artifact of nothing",
    aspects: ["message"],
    reason: "MLflow names the file by its place in the store, ours as it was asked for.",
  },
  {
    cases: "artifacts/multipart",
    aspects: ["status", "code", "message", "body"],
    when: (theirs, ours) => theirs.status === 501 && ours.status === 200,
    reason: "MLflow takes no uploads in parts on a plain disk; ours does, with MLflow's client.",
  },
]
