/**
 * Shapley values of any function by walking permutations of the features (Strumbelj 2014), each
 * forwards and backwards against a background row; exact by enumeration when that costs no more.
 *
 * @module
 */
import { random, shuffle } from "./random.ts"
import type { Matrix } from "./tree-shap.ts"

/** One explained row's evaluations: the rows to predict and how their predictions add up. */
export interface Plan {
  /** Rows to predict for one explained row. */
  readonly rows: number
  /** Writes them. */
  readonly fill: (row: Float32Array, out: Float32Array) => void
  /** Adds up their predictions into the row's values. */
  readonly combine: (predictions: Float64Array, values: Float64Array, at: number) => void
  /** Shares of background rows whose mean prediction is the base. */
  readonly background: Float32Array
}

const walkPlan = (width: number, background: Matrix, evaluations: number, seed: number): Plan => {
  const backgroundRows = background.data.length / width
  const walks = Math.max(2, 2 * Math.floor(evaluations / (2 * (width + 1))))
  const next = random(seed)
  const orders: Array<Uint32Array> = []
  const used = new Float32Array((walks / 2) * width)
  const start = Math.floor(next() * backgroundRows)
  for (let pair = 0; pair < walks / 2; pair++) {
    const order = Uint32Array.from({ length: width }, (_, i) => i)
    shuffle(order, next)
    orders.push(order, order.slice().reverse())
    const from = ((start + pair) % backgroundRows) * width
    used.set(background.data.subarray(from, from + width), pair * width)
  }
  return {
    rows: walks * (width + 1),
    background: used,
    fill: (row, out) => {
      let at = 0
      orders.forEach((order, walk) => {
        const from = (walk >> 1) * width
        out.set(used.subarray(from, from + width), at)
        at += width
        for (const feature of order) {
          out.copyWithin(at, at - width, at)
          out[at + feature] = row[feature] as number
          at += width
        }
      })
    },
    combine: (predictions, values, at) => {
      orders.forEach((order, walk) => {
        const from = walk * (width + 1)
        order.forEach((feature, step) => {
          const gain =
            (predictions[from + step + 1] as number) - (predictions[from + step] as number)
          values[at + feature] = (values[at + feature] as number) + gain / walks
        })
      })
    },
  }
}

const exactPlan = (width: number, background: Matrix): Plan => {
  const sets = 2 ** width
  const backgroundRows = background.data.length / width
  const weight = new Float64Array(width)
  let binomial = 1
  for (let size = 0; size < width; size++) {
    weight[size] = 1 / (width * binomial)
    binomial = (binomial * (width - 1 - size)) / (size + 1)
  }
  const bits = (set: number): number => {
    let count = 0
    for (let rest = set; rest > 0; rest &= rest - 1) count++
    return count
  }
  return {
    rows: sets * backgroundRows,
    background: background.data,
    fill: (row, out) => {
      for (let b = 0; b < backgroundRows; b++) {
        for (let set = 0; set < sets; set++) {
          const at = (b * sets + set) * width
          for (let j = 0; j < width; j++) {
            out[at + j] = ((set >> j) & 1 ? row[j] : background.data[b * width + j]) as number
          }
        }
      }
    },
    combine: (predictions, values, at) => {
      const mean = new Float64Array(sets)
      for (let b = 0; b < backgroundRows; b++) {
        for (let set = 0; set < sets; set++) {
          mean[set] =
            (mean[set] as number) + (predictions[b * sets + set] as number) / backgroundRows
        }
      }
      for (let set = 0; set < sets; set++) {
        const size = bits(set)
        for (let j = 0; j < width; j++) {
          if ((set >> j) & 1) continue
          const gain = (mean[set | (1 << j)] as number) - (mean[set] as number)
          values[at + j] = (values[at + j] as number) + (weight[size] as number) * gain
        }
      }
    },
  }
}

/** The evaluations that explain a row within a budget. */
export const plan = (
  width: number,
  background: Matrix,
  evaluations: number,
  seed: number,
): Plan => {
  const backgroundRows = background.data.length / width
  const exact = width <= 16 && 2 ** width * backgroundRows <= evaluations
  return exact ? exactPlan(width, background) : walkPlan(width, background, evaluations, seed)
}
