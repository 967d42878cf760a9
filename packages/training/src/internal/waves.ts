/**
 * A seeded frame to learn from, for tests and conformance suites.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import * as Frame from "../Frame.ts"
import type { TrainingError } from "../TrainingError.ts"
import { makeRandom } from "./random.ts"

/** Features `a` (a wave), `b` (a line, a tenth missing) and `c` (noise); the label follows them by chance. */
export const waves = (rows: number, seed: number): Effect.Effect<Frame.Frame, TrainingError> =>
  Effect.suspend(() => {
    const random = makeRandom(seed)
    const columns = [
      new Float32Array(rows),
      new Float32Array(rows),
      new Float32Array(rows),
    ] as const
    const label = new Float32Array(rows)
    for (let i = 0; i < rows; i++) {
      const [a, b, c] = [random.normal(), random.normal(), random.normal()]
      columns[0][i] = a
      columns[1][i] = random.uniform() < 0.1 ? Number.NaN : b
      columns[2][i] = c
      label[i] = random.uniform() < 1 / (1 + Math.exp(-2 * Math.sin(2 * a) - b)) ? 1 : 0
    }
    return Frame.make({ features: ["a", "b", "c"], columns, label })
  })
