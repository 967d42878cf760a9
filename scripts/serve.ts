/**
 * `npm run serve`: builds the pages where they are missing or stale, then starts the reference
 * server with the arguments given.
 *
 * @module
 */
import { buildPages } from "./ui.ts"

buildPages()
await import("../examples/platform/src/main.ts")
