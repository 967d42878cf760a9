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
]
