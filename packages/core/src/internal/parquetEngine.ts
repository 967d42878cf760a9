/**
 * Instances of the WebAssembly Parquet engine. A trap (a damaged page that makes it ask for 4 GiB,
 * say) leaves an instance unusable, and its memory never shrinks; so an instance that failed or
 * grew is thrown away, and only a healthy small one is kept for the next call.
 */
import { createRequire } from "node:module"
import type * as Engine from "parquet-wasm/node"

const keptBytes = 64 * 2 ** 20
let idle: typeof Engine | undefined

const load = (): typeof Engine => {
  // A new loader each time: a shared one would keep every instance it ever loaded alive.
  const loader = createRequire(import.meta.url)
  delete loader.cache[loader.resolve("parquet-wasm/node")]
  return loader("parquet-wasm/node")
}

/** Runs synchronous work on an instance; whatever it throws passes through. */
export const withEngine = <A>(work: (engine: typeof Engine) => A): A => {
  const engine = idle ?? load()
  idle = undefined
  const result = work(engine)
  if (engine.wasmMemory().buffer.byteLength <= keptBytes) idle = engine
  return result
}
