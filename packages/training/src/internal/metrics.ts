/**
 * Metrics of binary and real predictions.
 *
 * @module
 */

/** Area under the ROC curve, ties counted half (Mann-Whitney). NaN when a class is missing. */
export const auc = (label: ArrayLike<number>, score: Float64Array): number => {
  const order = new Uint32Array(score.length)
  for (let i = 0; i < order.length; i++) order[i] = i
  order.sort((a, b) => (score[a] as number) - (score[b] as number))
  let positives = 0
  let rankSum = 0
  for (let i = 0; i < order.length;) {
    let j = i
    let tied = 0
    const value = score[order[i] as number] as number
    while (j < order.length && (score[order[j] as number] as number) === value) {
      tied += (label[order[j] as number] as number) > 0.5 ? 1 : 0
      j++
    }
    positives += tied
    rankSum += tied * ((i + 1 + j) / 2)
    i = j
  }
  const negatives = score.length - positives
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives)
}

const buckets = 1 << 18

/** AUC with scores rounded to 2^18 steps between the lowest and highest: within 1e-5, without a sort. */
export const bucketedAuc = (label: ArrayLike<number>, score: Float64Array): number => {
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  for (let i = 0; i < score.length; i++) {
    const s = score[i] as number
    if (s < low) low = s
    if (s > high) high = s
  }
  if (!(high > low)) return 0.5
  const scale = (buckets - 1) / (high - low)
  const positive = new Uint32Array(buckets)
  const negative = new Uint32Array(buckets)
  for (let i = 0; i < score.length; i++) {
    const at = ((score[i] as number) - low) * scale
    if ((label[i] as number) > 0.5) positive[at | 0] = (positive[at | 0] as number) + 1
    else negative[at | 0] = (negative[at | 0] as number) + 1
  }
  let below = 0
  let positives = 0
  let wins = 0
  for (let b = 0; b < buckets; b++) {
    const p = positive[b] as number
    const n = negative[b] as number
    wins += p * (below + n / 2)
    below += n
    positives += p
  }
  return wins / (positives * below)
}

/** Mean logistic loss of probabilities, clipped at 1e-15. */
export const logLoss = (label: ArrayLike<number>, probability: Float64Array): number => {
  let sum = 0
  for (let i = 0; i < probability.length; i++) {
    const p = Math.min(Math.max(probability[i] as number, 1e-15), 1 - 1e-15)
    sum -= Math.log((label[i] as number) > 0.5 ? p : 1 - p)
  }
  return sum / probability.length
}

/** Root of the mean squared error. */
export const rmse = (label: ArrayLike<number>, prediction: Float64Array): number => {
  let sum = 0
  for (let i = 0; i < prediction.length; i++) {
    const e = (prediction[i] as number) - (label[i] as number)
    sum += e * e
  }
  return Math.sqrt(sum / prediction.length)
}
