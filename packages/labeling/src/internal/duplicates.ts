import { abstain } from "../LabelingFunction.ts"
import type { VoteMatrix } from "../VoteMatrix.ts"

/**
 * Functions that repeat an earlier one: on the rows where either of them votes, they give the same
 * vote in at least `agreement` of the cases. Copies would otherwise count as independent witnesses.
 */
export const find = (matrix: VoteMatrix, agreement: number): ReadonlyMap<number, number> => {
  const { functions, counts, votes } = matrix
  const m = functions.length
  const duplicates = new Map<number, number>()
  for (let j = 1; j < m; j++) {
    for (let i = 0; i < j && !duplicates.has(j); i++) {
      if (duplicates.has(i)) continue
      let either = 0
      let same = 0
      for (let p = 0; p < counts.length; p++) {
        const a = votes[p * m + i] as number
        const b = votes[p * m + j] as number
        if (a === abstain && b === abstain) continue
        either += counts[p] as number
        if (a === b) same += counts[p] as number
      }
      if (either > 0 && same >= agreement * either) duplicates.set(j, i)
    }
  }
  return duplicates
}
