/**
 * From noisy votes to a probability per class: expectation maximisation over the functions'
 * confusion matrices (Dawid and Skene 1979), with what weak supervision adds to it: a learned class
 * prior, duplicates counted once, one-sided functions, and log-sum-exp throughout.
 *
 * A function that votes for two or more classes is read like an annotator, and its abstaining says
 * nothing. A function that only ever votes for one class tells by firing or not firing, so there
 * its abstaining counts.
 *
 * @module
 */
import * as Duplicates from "./internal/duplicates.ts"
import { abstain } from "./LabelingFunction.ts"
import { majority, type VoteMatrix } from "./VoteMatrix.ts"

/** How to fit. */
export interface FitOptions {
  /** Known class shares; learned from the votes when absent. */
  readonly classBalance?: ReadonlyArray<number>
  /** Most iterations; default 200. */
  readonly iterations?: number
  /** Stops when the log-likelihood per row gains less; default 1e-7. */
  readonly tolerance?: number
  /** Share of agreeing votes from which two functions count as one; default 0.99. */
  readonly duplicateAgreement?: number
}

/** A fitted model. */
export interface LabelModel {
  readonly classes: ReadonlyArray<string>
  readonly classBalance: Float64Array
  /** Estimated accuracy of each function where it votes; NaN when it never does. */
  readonly accuracy: Readonly<Record<string, number>>
  /** Functions left out, with the one each of them repeats. */
  readonly duplicates: ReadonlyArray<{ readonly name: string; readonly of: string }>
  /** P(class | votes) by pattern, row-major `[patterns, classes]`. */
  readonly probabilities: Float64Array
  readonly logLikelihood: number
  readonly iterations: number
  readonly converged: boolean
}

/** Added to every count, so that no outcome is impossible. */
const smoothing = 0.01

/** Probability given to all other classes together at the start. */
const doubt = 0.001

/** Fits the model to votes; the result does not depend on any random choice. */
export const fit = (matrix: VoteMatrix, options: FitOptions = {}): LabelModel => {
  const { functions, classes, counts, votes } = matrix
  const { iterations = 200, tolerance = 1e-7, duplicateAgreement = 0.99 } = options
  const m = functions.length
  const K = classes.length
  const P = counts.length
  const rows = counts.reduce((sum, count) => sum + count, 0)
  const duplicates = Duplicates.find(matrix, duplicateAgreement)
  const used = functions.map((_, j) => j).filter((j) => !duplicates.has(j))
  const oneSided = functions.map((_, j) => polarity(matrix, j) < 2)

  const posterior = initialPosterior(matrix, options.classBalance)
  const prior = new Float64Array(K)
  // theta[j][k][o]: probability that function j gives outcome o (0 = abstains) in class k.
  const theta = functions.map(() => new Float64Array(K * (K + 1)))
  const logs = new Float64Array(K)
  let logLikelihood = -Infinity
  let iteration = 0
  let converged = false

  while (iteration < iterations && !converged) {
    iteration += 1
    maximise()
    const next = expect()
    converged = next - logLikelihood < tolerance * Math.max(1, rows)
    logLikelihood = next
  }

  function maximise(): void {
    prior.fill(smoothing)
    for (let p = 0; p < P; p++) {
      for (let k = 0; k < K; k++) {
        prior[k] = (prior[k] as number) + (counts[p] as number) * (posterior[p * K + k] as number)
      }
    }
    if (options.classBalance === undefined) normalise(prior, 0, K)
    else prior.set(options.classBalance)

    for (const j of used) {
      const table = (theta[j] as Float64Array).fill(smoothing)
      for (let p = 0; p < P; p++) {
        const vote = votes[p * m + j] as number
        if (vote === abstain && !oneSided[j]) continue
        for (let k = 0; k < K; k++) {
          const cell = k * (K + 1) + vote + 1
          table[cell] =
            (table[cell] as number) + (counts[p] as number) * (posterior[p * K + k] as number)
        }
      }
      for (let k = 0; k < K; k++) {
        if (!oneSided[j]) table[k * (K + 1)] = 0
        normalise(table, k * (K + 1), K + 1)
      }
    }
  }

  function expect(): number {
    let total = 0
    const logPrior = prior.map(Math.log)
    const logTheta = theta.map((table) => table.map(Math.log))
    for (let p = 0; p < P; p++) {
      let max = -Infinity
      for (let k = 0; k < K; k++) {
        let log = logPrior[k] as number
        for (const j of used) {
          const vote = votes[p * m + j] as number
          if (vote === abstain && !oneSided[j]) continue
          log += logTheta[j]?.[k * (K + 1) + vote + 1] as number
        }
        logs[k] = log
        if (log > max) max = log
      }
      let sum = 0
      for (let k = 0; k < K; k++) sum += Math.exp((logs[k] as number) - max)
      const logSum = max + Math.log(sum)
      for (let k = 0; k < K; k++) posterior[p * K + k] = Math.exp((logs[k] as number) - logSum)
      total += (counts[p] as number) * logSum
    }
    return total
  }

  return {
    classes,
    classBalance: prior,
    accuracy: Object.fromEntries(
      functions.map((name, j) => [name, accuracyOf(matrix, j, posterior)]),
    ),
    duplicates: [...duplicates].map(([j, of]) => ({
      name: functions[j] ?? "",
      of: functions[of] ?? "",
    })),
    probabilities: posterior,
    logLikelihood,
    iterations: iteration,
    converged,
  }
}

/** The most likely class of every row, and its probability. */
export const predict = (
  model: LabelModel,
  matrix: VoteMatrix,
): { readonly labels: Int32Array; readonly confidence: Float64Array } => {
  const K = model.classes.length
  const P = matrix.counts.length
  const bestLabel = new Int32Array(P)
  const bestValue = new Float64Array(P)
  for (let p = 0; p < P; p++) {
    for (let k = 0; k < K; k++) {
      const value = model.probabilities[p * K + k] as number
      if (value > (bestValue[p] as number)) {
        bestValue[p] = value
        bestLabel[p] = k
      }
    }
  }
  const rows = matrix.patternOf.length
  const labels = new Int32Array(rows)
  const confidence = new Float64Array(rows)
  for (let i = 0; i < rows; i++) {
    const p = matrix.patternOf[i] as number
    labels[i] = bestLabel[p] as number
    confidence[i] = bestValue[p] as number
  }
  return { labels, confidence }
}

/** Number of classes a function votes for. */
const polarity = (matrix: VoteMatrix, j: number): number => {
  const seen = new Set<number>()
  const m = matrix.functions.length
  for (let p = 0; p < matrix.counts.length; p++) seen.add(matrix.votes[p * m + j] as number)
  seen.delete(abstain)
  return seen.size
}

/**
 * Where EM starts: almost sure of the majority class, the balance where there is none. A soft start
 * would stay soft wherever the functions agree, because agreement alone cannot tell classes apart.
 */
const initialPosterior = (
  matrix: VoteMatrix,
  balance: ReadonlyArray<number> | undefined,
): Float64Array => {
  const K = matrix.classes.length
  const winner = majority(matrix)
  const posterior = new Float64Array(matrix.counts.length * K)
  winner.forEach((best, p) => {
    for (let k = 0; k < K; k++) {
      posterior[p * K + k] =
        best < 0 ? (balance?.[k] ?? 1 / K) : k === best ? 1 - doubt : doubt / (K - 1)
    }
  })
  return posterior
}

const accuracyOf = (matrix: VoteMatrix, j: number, posterior: Float64Array): number => {
  const m = matrix.functions.length
  const K = matrix.classes.length
  let right = 0
  let voted = 0
  for (let p = 0; p < matrix.counts.length; p++) {
    const vote = matrix.votes[p * m + j] as number
    if (vote === abstain) continue
    const count = matrix.counts[p] as number
    voted += count
    right += count * (posterior[p * K + vote] as number)
  }
  return right / voted
}

const normalise = (values: Float64Array, start: number, length: number): void => {
  let sum = 0
  for (let i = start; i < start + length; i++) sum += values[i] as number
  for (let i = start; i < start + length; i++) values[i] = (values[i] as number) / sum
}
