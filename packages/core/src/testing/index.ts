export * as Conformance from "./Conformance.ts"
export * as DatabaseSuite from "./DatabaseSuite.ts"
