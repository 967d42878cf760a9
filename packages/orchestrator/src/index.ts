export * as Orchestrator from "./Orchestrator.ts"
export * as Run from "./Run.ts"
export * as Workflow from "./Workflow.ts"
