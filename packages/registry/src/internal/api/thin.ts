/** A point of a history: step, time in microseconds, value. */
interface Point {
  readonly step: number
  readonly time: number
  readonly value: number
}

/** Which positions of a history are drawn by. */
export type Axis = "step" | "time"

/**
 * Thins a history to at most about `samples` points so that a line through them looks the same: of
 * each of `samples / 4` equal parts of the range the first, the least, the greatest and the last
 * value stay (M4, Jugel et al., VLDB 2014). The points are in the order of their positions.
 */
export const thin = (
  points: ReadonlyArray<Point>,
  samples: number,
  axis: Axis,
): ReadonlyArray<Point> => {
  if (points.length <= samples) return points
  const from = points[0]?.[axis] ?? 0
  const to = points.at(-1)?.[axis] ?? 0
  const parts = Math.max(1, Math.floor(samples / 4))
  const partOf = (point: Point): number =>
    to === from ? 0 : Math.min(parts - 1, Math.floor(((point[axis] - from) / (to - from)) * parts))
  const kept: Array<Point> = []
  let first = 0
  while (first < points.length) {
    const start = points[first]
    if (start === undefined) break
    const part = partOf(start)
    let last = first
    let least = first
    let most = first
    for (let i = first; i < points.length; i++) {
      const point = points[i]
      if (point === undefined || partOf(point) !== part) break
      last = i
      // A comparison with NaN is false: NaN stays only where it is first or last.
      if (point.value < (points[least]?.value ?? Number.NaN)) least = i
      if (point.value > (points[most]?.value ?? Number.NaN)) most = i
    }
    for (const index of [...new Set([first, least, most, last])].sort((a, b) => a - b)) {
      const point = points[index]
      if (point !== undefined) kept.push(point)
    }
    first = last + 1
  }
  return kept
}
