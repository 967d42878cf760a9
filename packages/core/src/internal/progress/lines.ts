import type { Output, ProgressEvent, Reporter } from "../../Progress.ts"
import { describe } from "./text.ts"

/** A line when a task starts and ends, and now and then between. */
export const lineReporter = (
  output: Output,
  everyMs: number,
  now: () => number = () => performance.now(),
): Reporter => {
  const written = new Map<number, number>()
  return {
    report: (event: ProgressEvent) => {
      const last = written.get(event.id)
      const ended = event.state !== "running"
      if (!ended && last !== undefined && now() - last < everyMs) return
      if (ended) written.delete(event.id)
      else written.set(event.id, now())
      output.write(`${describe(event)}\n`)
    },
  }
}
