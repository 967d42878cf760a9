import { type Feature, importances } from "./forest.ts"

/** What the worker is asked. */
export interface Question {
  readonly features: ReadonlyArray<Feature>
  readonly target: ReadonlyArray<number>
}

// The types of a window and of a worker cannot both hold: only this of a worker's is used.
const scope = self as unknown as {
  onmessage: (event: MessageEvent<Question>) => void
  readonly postMessage: (answer: unknown) => void
}

scope.onmessage = ({ data }) => {
  scope.postMessage(importances(data.features, data.target))
}
