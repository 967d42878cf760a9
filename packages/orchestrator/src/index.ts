export * as Orchestrator from "./Orchestrator.ts"
export * as Workflow from "./Workflow.ts"
