export * as Labeling from "./Labeling.ts"
export * as LabelingFunction from "./LabelingFunction.ts"
export * as LabelModel from "./LabelModel.ts"
export * as VoteMatrix from "./VoteMatrix.ts"
