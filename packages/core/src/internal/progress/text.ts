import type { ProgressEvent } from "../../Progress.ts"

const group = (value: number): string =>
  (Number.isInteger(value) ? String(value) : value.toFixed(1)).replace(/\B(?=(\d{3})+(?!\d))/g, ",")

/** Names come from data: what could move the cursor is shown as a space. */
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const plain = (text: string): string => text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, " ")

/** A span of time, e.g. `850 ms`, `3.2 s`, `4m 05s`. */
export const duration = (ms: number): string => {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  return `${Math.floor(seconds / 60)}m ${String(seconds % 60).padStart(2, "0")}s`
}

/** Share done, 0 to 1; `undefined` when the total is not known. */
export const shareOf = (event: ProgressEvent): number | undefined =>
  event.total === undefined || event.total <= 0
    ? undefined
    : Math.min(1, Math.max(0, event.done / event.total))

const amount = (event: ProgressEvent): string => {
  if (event.total === undefined && event.done === 0) return ""
  const total = event.total === undefined ? "" : `/${group(event.total)}`
  return `${group(event.done)}${total}${event.unit === undefined ? "" : ` ${event.unit}`}`
}

const left = (event: ProgressEvent): string => {
  const share = shareOf(event)
  if (share === undefined || share === 0 || share === 1 || event.elapsedMs < 1000) return ""
  return `${duration((event.elapsedMs / share) * (1 - share))} left`
}

/** The parts of a line about a task, in order; `bar` goes after the name. */
export const describe = (event: ProgressEvent, bar = ""): string => {
  const share = shareOf(event)
  const percent = share === undefined ? "" : `${Math.floor(share * 100)}%`
  const time =
    event.state === "running"
      ? left(event)
      : `${event.state === "failed" ? "failed after" : "in"} ${duration(event.elapsedMs)}`
  return [plain(event.name), bar, percent, amount(event), time, plain(event.note ?? "")]
    .filter((part) => part !== "")
    .join("  ")
}
