/** Seeded frames for the tests. */
import * as Effect from "effect/Effect"
import { Frame } from "@ashlar/training"
import { makeRandom } from "../src/internal/random.ts"

/** What to generate. */
export interface Shape {
  readonly rows: number
  readonly features?: number
  readonly seed?: number
  readonly missing?: number
  /** The last feature holds this many category codes, with an effect on the label. */
  readonly categories?: number
  readonly regression?: boolean
}

/** A frame whose label depends on waves, lines, an interaction and (if any) categories. */
export const frameOf = (shape: Shape): Frame.Frame => {
  const { rows, features = 6, seed = 1, missing = 0, categories = 0, regression = false } = shape
  const random = makeRandom(seed)
  const columns = Array.from({ length: features }, () => new Float32Array(rows))
  const effects = Array.from({ length: categories }, (_, i) => Math.sin(i * 7) * 1.5)
  const label = new Float32Array(rows)
  for (let i = 0; i < rows; i++) {
    let score = 0
    let previous = 0
    columns.forEach((column, f) => {
      if (categories > 0 && f === features - 1) {
        const code = random.below(categories)
        column[i] = code
        score += effects[code] ?? 0
        return
      }
      const x = random.normal()
      score += f % 3 === 0 ? Math.sin(2 * x) : f % 3 === 1 ? 0.5 * x : 0.4 * x * previous
      previous = x
      column[i] = random.uniform() < missing ? Number.NaN : x
    })
    label[i] = regression
      ? score + 0.1 * random.normal()
      : random.uniform() < 1 / (1 + Math.exp(-score))
        ? 1
        : 0
  }
  const names = columns.map((_, i) => `f${i}`)
  const categorical = categories > 0 ? names.slice(-1) : []
  return Effect.runSync(Frame.make({ features: names, columns, label, categorical }))
}

/** Columns as one row-major matrix, as ONNX takes them. */
export const rowMajor = (columns: ReadonlyArray<Float32Array>): Float32Array => {
  const rows = columns[0]?.length ?? 0
  const out = new Float32Array(rows * columns.length)
  columns.forEach((column, f) =>
    column.forEach((value, i) => (out[i * columns.length + f] = value)),
  )
  return out
}
