/**
 * Pages of jobs, newest first.
 *
 * @module
 */
import type { JobStatus } from "../../Job.ts"
import { encodeToken, type Page } from "../../Page.ts"
import type * as Input from "./input.ts"

const compare = (a: readonly [number, string], b: readonly [number, string]): number =>
  b[0] - a[0] || (a[1] < b[1] ? 1 : a[1] > b[1] ? -1 : 0)

/** One page out of all jobs. */
export const pageOf = (
  jobs: Iterable<JobStatus>,
  { limit, after }: ReturnType<typeof Input.page>,
): Page<JobStatus> => {
  const position = (job: JobStatus) => [job.submitted, job.id] as const
  const rest = Array.from(jobs)
    .filter((job) => after === undefined || compare(after, position(job)) < 0)
    .sort((a, b) => compare(position(a), position(b)))
  const items = rest.slice(0, limit)
  const last = items.at(-1)
  return rest.length > limit && last !== undefined
    ? { items, next: encodeToken([last.submitted, last.id]) }
    : { items }
}
