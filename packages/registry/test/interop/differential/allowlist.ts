import { models } from "./allowed-models.ts"
import { artifacts } from "./allowed-artifacts.ts"
import { tracking } from "./allowed-tracking.ts"
import { webhooks } from "./allowed-webhooks.ts"
import type { Aspect, Normal } from "./normalize.ts"

/** Differences that are meant. */
export interface Allowed {
  /** `family/case`, or a pattern of several. */
  readonly cases: string | RegExp
  /** Nothing else may differ. */
  readonly aspects: ReadonlyArray<Aspect>
  /** Which answers it is about, if not all of these cases. */
  readonly when?: (theirs: Normal, ours: Normal) => boolean
  /** Why the answer differs, for those who move from MLflow. */
  readonly reason: string
}

const isRefusal = ({ status, code }: Normal): boolean =>
  status >= 400 && status < 500 && code !== undefined

/** Every difference from MLflow that is meant. An entry that no case needs fails the suite. */
export const allowlist: ReadonlyArray<Allowed> = [
  ...models,
  ...tracking,
  ...webhooks,
  ...artifacts,
  {
    cases: /^/,
    aspects: ["status", "code", "message", "body"],
    when: (theirs, ours) => theirs.status >= 500 && isRefusal(ours),
    reason:
      "MLflow answers 5xx to a bad request, which its clients repeat for minutes; ours is refused at once with a reason.",
  },
  {
    cases: /^/,
    aspects: ["message"],
    when: ({ message = "" }) => /\[SQL: /.test(message),
    reason:
      "MLflow's message quotes the SQL statement and its parameters; ours says what is wrong.",
  },
  {
    cases:
      /^(metrics|batches)\/.*(true as value|as float|float step|word as value|with number|bad size)/,
    aspects: ["status", "code", "message", "body"],
    when: (theirs, ours) => theirs.status === 200 && isRefusal(ours),
    reason:
      "MLflow drops a field of the wrong type and records 0, '' or everything in its place; ours refuses it and names it.",
  },
  {
    cases: "batches/metric with number as key",
    aspects: ["message"],
    reason: "MLflow complains about the empty name it made of the number; ours about the number.",
  },
  {
    cases: "search/bad view",
    aspects: ["status", "code", "message", "body"],
    when: (theirs, ours) => theirs.status === 200 && isRefusal(ours),
    reason: "MLflow takes a view it does not know for the default; ours refuses it and names it.",
  },
  {
    cases: /^search\/filter /,
    aspects: ["status", "code", "message", "body"],
    when: (theirs, ours) => isRefusal(theirs) && ours.status === 200,
    reason:
      "Ours understands more: OR, NOT, parentheses, lists and ranges of numbers, attributes of experiments, blanks. What MLflow understands means the same.",
  },
  {
    cases: /^search\/(filter|order) /,
    aspects: ["message"],
    when: (theirs, ours) => isRefusal(theirs) && isRefusal(ours),
    reason:
      "Both refuse; ours says at which character and lists what it understands, which is more. MLflow lists keys in the order of a Python set, which changes from start to start.",
  },
]
