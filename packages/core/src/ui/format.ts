/**
 * How pages write numbers, times and sizes.
 *
 * @module
 */

/** A number in at most six significant digits; NaN and infinities by name. */
export const formatNumber = (value: number): string => {
  if (Number.isNaN(value)) return "NaN"
  if (!Number.isFinite(value)) return value > 0 ? "Infinity" : "-Infinity"
  if (value === 0) return "0"
  const size = Math.abs(value)
  if (Number.isInteger(value) && size < 1e9) return value.toLocaleString("en-US")
  if (size < 1e-4 || size >= 1e9) return value.toExponential(3).replace(/\.?0+e/, "e")
  return String(Number(value.toPrecision(6)))
}

/** Bytes with a binary unit. */
export const formatBytes = (bytes: number): string => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"]
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? "B"}`
}

/** Milliseconds as the two greatest units. */
export const formatDuration = (ms: number): string => {
  if (!Number.isFinite(ms) || ms < 0) return "-"
  if (ms < 1000) return `${Math.round(ms)} ms`
  const seconds = Math.floor(ms / 1000)
  if (seconds < 60) return `${(ms / 1000).toFixed(1)} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} m ${seconds % 60} s`
  const hours = Math.floor(minutes / 60)
  if (hours < 24) return `${hours} h ${minutes % 60} m`
  return `${Math.floor(hours / 24)} d ${hours % 24} h`
}

const day = 86_400_000

/** An instant: the time for today, otherwise the date too. `now` is in milliseconds since 1970. */
export const formatTime = (iso: string, now: number = Date.now()): string => {
  const time = new Date(iso)
  if (Number.isNaN(time.getTime())) return iso
  const clock = time.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })
  if (Math.abs(now - time.getTime()) < day && new Date(now).getDate() === time.getDate())
    return clock
  const date = time.toLocaleDateString("en-GB", { day: "2-digit", month: "short" })
  return new Date(now).getFullYear() === time.getFullYear()
    ? `${date}, ${clock}`
    : `${date} ${time.getFullYear()}`
}

/** A count with its noun. */
export const formatCount = (count: number, noun: string): string =>
  `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`
