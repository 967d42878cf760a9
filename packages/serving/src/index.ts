export * as Serving from "./Serving.ts"
