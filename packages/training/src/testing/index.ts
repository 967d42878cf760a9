export * as TrainerSuite from "./TrainerSuite.ts"
