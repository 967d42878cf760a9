export * as OnlineStoreSuite from "./OnlineStoreSuite.ts"
