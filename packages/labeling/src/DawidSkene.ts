/**
 * The truth behind annotators' answers, and how good each of them is: expectation maximisation over
 * a confusion matrix per worker (Dawid and Skene 1979, doi 10.2307/2346806) or over one accuracy per
 * worker (one-coin; Zhang et al. 2016).
 *
 * @module
 */
import { type Annotations, check, shares } from "./Annotations.ts"

/** How to fit. */
export interface FitOptions {
  /**
   * `confusion` (default) learns what each worker takes for what, and needs some dozen answers a
   * worker and class; `one-coin` learns one accuracy a worker, and does with few.
   */
  readonly model?: "confusion" | "one-coin"
  /** Most iterations; default 100. */
  readonly iterations?: number
  /** Stops when the log-likelihood per answer gains less; default 1e-5. */
  readonly tolerance?: number
  /** Tasks whose class is known, by name. */
  readonly gold?: ReadonlyMap<string, string>
}

/** A fitted model. */
export interface Fitted {
  /** P(class | answers), row-major `[tasks, classes]`. */
  readonly probabilities: Float64Array
  readonly classBalance: Float64Array
  /** P(answer | class) of each worker, row-major `[workers, classes, answers]`. */
  readonly errors: Float64Array
  /** Probability that an answer of the worker is right, over the answers given. */
  readonly skills: Float64Array
  /** Natural logarithm, over all answers, of the parameters that gave the probabilities. */
  readonly logLikelihood: number
  readonly iterations: number
  readonly converged: boolean
}

/** No probability is smaller, so that no answer is impossible. */
const floor = 1e-10

/**
 * Fits the model; starts from the share of the votes, so no random choice is made.
 *
 * Throws a `RangeError` for fewer than two classes, indices out of range, and gold that names a task
 * or class there is not.
 *
 * @example
 * ```ts
 * import { Annotations, DawidSkene } from "@ashlar/labeling"
 *
 * const answers = ["111110", "000001", "110110", "001000"].flatMap((votes, worker) =>
 *   Array.from(votes, (label, task) => ({ task: `t${task}`, worker: `w${worker}`, label })),
 * )
 * const annotations = Annotations.make(answers, ["0", "1"])
 * const { probabilities } = DawidSkene.fit(annotations, { model: "one-coin" })
 * Array.from(Annotations.best(probabilities, 2)).length // => 6
 * ```
 */
export const fit = (annotations: Annotations, options: FitOptions = {}): Fitted => {
  check(annotations)
  const { tasks, workers, classes, task, worker, label } = annotations
  const { model = "confusion", iterations = 100, tolerance = 1e-5 } = options
  const K = classes.length
  const n = task.length
  if (K < 2) {
    throw new RangeError(`there are ${K} classes: name at least two, also when only one was used`)
  }
  const known = goldOf(annotations, options.gold)
  const probabilities = shares(annotations)
  clamp()
  const classBalance = new Float64Array(K)
  const skills = new Float64Array(workers.length)
  const answered = new Float64Array(workers.length)
  for (let i = 0; i < n; i++) {
    const w = worker[i] as number
    answered[w] = (answered[w] as number) + 1
  }
  // By worker, answer, class: what the E-step adds for one answer lies side by side.
  const tables = new Float64Array(workers.length * K * K)
  const logPrior = new Float64Array(K)
  let logLikelihood = -Infinity
  let iteration = 0
  let converged = false
  maximise()
  while (iteration < iterations && !converged) {
    iteration += 1
    const next = expect()
    clamp()
    maximise()
    converged = next - logLikelihood < tolerance * n
    logLikelihood = next
  }

  function clamp(): void {
    for (const [t, k] of known) {
      probabilities.fill(0, t * K, (t + 1) * K)
      probabilities[t * K + k] = 1
    }
  }

  function maximise(): void {
    classBalance.fill(0)
    for (let cell = 0; cell < probabilities.length; cell++) {
      const k = cell % K
      classBalance[k] = (classBalance[k] as number) + (probabilities[cell] as number)
    }
    for (let k = 0; k < K; k++) classBalance[k] = (classBalance[k] as number) / tasks.length
    skills.fill(0)
    tables.fill(0)
    for (let i = 0; i < n; i++) {
      const w = worker[i] as number
      const row = (task[i] as number) * K
      const l = label[i] as number
      const cell = (w * K + l) * K
      skills[w] = (skills[w] as number) + (probabilities[row + l] as number)
      for (let k = 0; k < K; k++) {
        tables[cell + k] = (tables[cell + k] as number) + (probabilities[row + k] as number)
      }
    }
    for (let w = 0; w < workers.length; w++) {
      skills[w] = (skills[w] as number) / (answered[w] as number)
      if (model === "confusion") normalise(w)
      else spread(w)
    }
  }

  function normalise(w: number): void {
    for (let k = 0; k < K; k++) {
      let sum = 0
      for (let l = 0; l < K; l++) {
        const cell = (w * K + l) * K + k
        tables[cell] = Math.max(floor, tables[cell] as number)
        sum += tables[cell]
      }
      for (let l = 0; l < K; l++) {
        const cell = (w * K + l) * K + k
        tables[cell] = (tables[cell] as number) / sum
      }
    }
  }

  function spread(w: number): void {
    const skill = skills[w] as number
    for (let l = 0; l < K; l++) {
      for (let k = 0; k < K; k++) {
        const value = l === k ? skill : (1 - skill) / (K - 1)
        tables[(w * K + l) * K + k] = Math.min(1 - floor, Math.max(floor, value))
      }
    }
  }

  function expect(): number {
    for (let k = 0; k < K; k++) logPrior[k] = Math.log(Math.max(floor, classBalance[k] as number))
    const logs = tables.map(Math.log)
    for (let t = 0; t < tasks.length; t++) probabilities.set(logPrior, t * K)
    for (let i = 0; i < n; i++) {
      const row = (task[i] as number) * K
      const cell = ((worker[i] as number) * K + (label[i] as number)) * K
      for (let k = 0; k < K; k++) {
        probabilities[row + k] = (probabilities[row + k] as number) + (logs[cell + k] as number)
      }
    }
    let total = 0
    for (let row = 0; row < probabilities.length; row += K) {
      let max = -Infinity
      for (let k = 0; k < K; k++) max = Math.max(max, probabilities[row + k] as number)
      let sum = 0
      for (let k = 0; k < K; k++) {
        const value = Math.exp((probabilities[row + k] as number) - max)
        probabilities[row + k] = value
        sum += value
      }
      for (let k = 0; k < K; k++) {
        probabilities[row + k] = (probabilities[row + k] as number) / sum
      }
      total += max + Math.log(sum)
    }
    return total
  }

  const errors = tables.map((_, cell) => {
    const [w, k, l] = [Math.floor(cell / (K * K)), Math.floor(cell / K) % K, cell % K]
    return tables[(w * K + l) * K + k] as number
  })
  return {
    probabilities,
    classBalance,
    errors,
    skills,
    logLikelihood,
    iterations: iteration,
    converged,
  }
}

/** Index of task to index of class. */
const goldOf = (
  { tasks, classes }: Annotations,
  gold: FitOptions["gold"],
): ReadonlyArray<readonly [number, number]> => {
  if (gold === undefined) return []
  const index = new Map(tasks.map((name, t) => [name, t]))
  return [...gold].map(([name, label]) => {
    const t = index.get(name)
    const k = classes.indexOf(label)
    if (t === undefined || k < 0) {
      throw new RangeError(
        `gold says ${JSON.stringify(label)} of task ${JSON.stringify(name)}: ${t === undefined ? "nobody answered that task" : `the classes are ${JSON.stringify(classes)}`}`,
      )
    }
    return [t, k]
  })
}
