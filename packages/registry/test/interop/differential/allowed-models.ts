import type { Allowed } from "./allowlist.ts"
import type { Normal } from "./normalize.ts"

const isRefusal = ({ status, code }: Normal): boolean =>
  status >= 400 && status < 500 && code !== undefined

/** Differences of registered models and their versions that are meant. */
export const models: ReadonlyArray<Allowed> = [
  {
    cases: /^registered-models\/search by (or|time)$/,
    aspects: ["status", "code", "message", "body"],
    when: (theirs, ours) => isRefusal(theirs) && ours.status === 200,
    reason:
      "Ours understands more: OR between clauses, and models in the order they were created. What MLflow understands means the same.",
  },
  {
    cases:
      /^(registered-models|model-versions)\/(search (by|broken)|ordered by nothing|search by bad)/,
    aspects: ["message"],
    when: (theirs, ours) => isRefusal(theirs) && isRefusal(ours),
    reason:
      "Both refuse; ours says at which character and lists what it understands. MLflow lists keys in the order of a Python set, which changes from start to start.",
  },
  {
    cases: "registered-models/bad token",
    aspects: ["message"],
    when: (theirs, ours) => isRefusal(theirs) && isRefusal(ours),
    reason: "MLflow shows the bytes it could not decode; ours says whose tokens it takes.",
  },
  {
    cases: /^registered-models\/(none wanted|negative)$/,
    aspects: ["status", "code", "message", "body"],
    when: (theirs, ours) => theirs.status === 200 && isRefusal(ours),
    reason:
      "MLflow answers an empty page with a token that leads to the same empty page, which clients follow for ever; ours refuses the size, as MLflow does for versions.",
  },
  {
    cases: /^model-versions\/source with (dots in query|fragment dots)$/,
    aspects: ["message"],
    when: (theirs, ours) => isRefusal(theirs) && isRefusal(ours),
    reason: "Both refuse the scheme; MLflow names an environment variable that ours does not have.",
  },
]
