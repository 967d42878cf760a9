/**
 * Colours of series: told apart on light and on dark, also by people who see fewer of them.
 *
 * @module
 */

const light = [
  "#1f5fd6",
  "#d9480f",
  "#0b8a5c",
  "#b0368c",
  "#a87900",
  "#6941c6",
  "#0e7490",
  "#c2255c",
  "#4d7c0f",
  "#7c4a21",
  "#3f51b5",
  "#5f6b7a",
]
const dark = [
  "#6ea3ff",
  "#ff9558",
  "#3ecf97",
  "#f07fcf",
  "#e8be4a",
  "#b19cff",
  "#4cc9e0",
  "#ff7fa5",
  "#a5d65a",
  "#d3a27a",
  "#93a1ff",
  "#aab4c2",
]

/** The page's theme. */
export const isDark = (): boolean => document.documentElement.dataset["theme"] === "dark"

/** The colour of the series at an index; they repeat after twelve. */
export const seriesColor = (index: number): string => {
  const palette = isDark() ? dark : light
  return palette[index % palette.length] ?? "#888888"
}

/** A colour on a scale from 0 to 1: blue, green, yellow. */
export const rampColor = (at: number): string => {
  const t = Math.min(1, Math.max(0, at))
  const hue = 250 - 195 * t
  return `hsl(${hue.toFixed(0)} ${isDark() ? "72% 64%" : "68% 42%"})`
}

/** The value of a design token, e.g. `--ink`. */
export const token = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim()
