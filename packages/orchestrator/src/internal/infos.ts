import type { RunInfo, StepInfo } from "../Run.ts"
import type { RunRow, StepRow } from "./migrations.ts"

/** What callers see of a run. */
export const runInfo = (row: RunRow): RunInfo => ({
  id: row.id,
  workflow: row.workflow,
  key: row.key,
  version: row.version,
  state: row.state,
  created: row.created,
  ...(row.finished === null ? {} : { finished: row.finished }),
  ...(row.error === null ? {} : { error: row.error }),
})

/** What callers see of a step. */
export const stepInfo = (row: StepRow): StepInfo => ({
  name: row.name,
  state: row.state,
  attempt: row.attempt,
  started: row.started,
  ...(row.finished === null ? {} : { finished: row.finished }),
  ...(row.error === null ? {} : { error: row.error }),
})
