import type { Output, ProgressEvent, Reporter } from "../../Progress.ts"
import { describe, shareOf } from "./text.ts"

const clear = "\r\u001b[2K"
const width = 24
const everyMs = 100

const barOf = (share: number): string => {
  const filled = Math.round(share * width)
  return `[${"#".repeat(filled)}${".".repeat(width - filled)}]`
}

/** One bar, of the task that moved last, redrawn in place; ended tasks stay as lines above it. */
export const barReporter = (
  output: Output,
  now: () => number = () => performance.now(),
): Reporter => {
  const running = new Map<number, ProgressEvent>()
  let drawn = Number.NEGATIVE_INFINITY
  const line = (event: ProgressEvent): string => {
    const share = shareOf(event)
    const text = describe(event, share === undefined ? "" : barOf(share))
    return text.slice(0, Math.max(10, (output.columns ?? 80) - 1))
  }
  return {
    report: (event) => {
      if (event.state !== "running") {
        running.delete(event.id)
        output.write(`${clear}${describe(event)}\n`)
        const [next] = Array.from(running.values()).toReversed()
        if (next !== undefined) output.write(line(next))
        return
      }
      running.set(event.id, event)
      if (now() - drawn < everyMs) return
      drawn = now()
      output.write(`${clear}${line(event)}`)
    },
  }
}
