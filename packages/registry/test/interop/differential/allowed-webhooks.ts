import type { Allowed } from "./allowlist.ts"

/** Differences of webhooks that are meant. */
export const webhooks: ReadonlyArray<Allowed> = [
  {
    cases: "webhooks/create with the same event twice",
    aspects: ["status", "code", "message", "body"],
    when: (theirs, ours) => theirs.status === 400 && ours.status === 200,
    reason: "MLflow fails with its SQL; ours is told of the event once, as was asked.",
  },
  {
    cases: "webhooks/bad status",
    aspects: ["status", "code", "message", "body"],
    when: (theirs, ours) => theirs.status === 200 && ours.status === 400,
    reason: "MLflow drops a status that it does not know; ours refuses it and names it.",
  },
  {
    cases: "webhooks/list with bad token",
    aspects: ["message"],
    reason: "MLflow shows the bytes that it decoded; ours says what to do.",
  },
  {
    cases: "webhooks/unresolvable",
    aspects: ["message"],
    reason: "The system's resolver is asked in another language and words its error differently.",
  },
]
