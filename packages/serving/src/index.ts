export * as ModelFolder from "./ModelFolder.ts"
export * as Serving from "./Serving.ts"
