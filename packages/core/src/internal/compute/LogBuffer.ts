/**
 * A job's output in memory: the newest lines up to a limit.
 *
 * @module
 */
import type { LogLine } from "../../Job.ts"

/** Lines of one job. */
export interface LogBuffer {
  readonly append: (line: LogLine) => void
  /** No more lines will come. */
  readonly end: () => void
  /** Lines kept so far, then new ones until the end if asked to follow. */
  readonly read: (follow: boolean) => AsyncGenerator<LogLine>
}

/** A buffer that keeps about so many characters. */
export const make = (limit: number): LogBuffer => {
  let lines: Array<LogLine> = []
  let first = 0
  let size = 0
  let isEnded = false
  let wake = Promise.withResolvers<void>()

  const notify = () => {
    wake.resolve()
    wake = Promise.withResolvers<void>()
  }

  return {
    append: (line) => {
      lines.push(line)
      size += line.line.length
      if (size > limit && lines.length > 1) {
        // Half at a time: dropping line by line would cost a copy for each.
        let drop = 0
        while (size > limit / 2 && drop < lines.length - 1) size -= lines[drop++]?.line.length ?? 0
        lines = lines.slice(drop)
        first += drop
      }
      notify()
    },
    end: () => {
      isEnded = true
      notify()
    },
    read: async function* (follow) {
      for (let at = first; ;) {
        at = Math.max(at, first)
        const line = lines[at - first]
        if (line !== undefined) {
          at += 1
          yield line
        } else if (!follow || isEnded) return
        else await wake.promise
      }
    },
  }
}
