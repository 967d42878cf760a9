import { defineConfig } from "tsup"

const packages = "../../packages"

// Native and WebAssembly packages stay where npm put them; so do the drivers that only some
// configurations use.
const external =
  /^(better-sqlite3|onnxruntime-node|parquet-wasm|webgpu|pg|@aws-sdk\/(client-s3|lib-storage|s3-request-presigner))($|\/)/

// One program and the two files that serving starts in worker threads, which it looks for beside
// itself.
export default defineConfig({
  entry: {
    main: "src/main.ts",
    onnx: `${packages}/serving/src/onnx.ts`,
    "model-worker": `${packages}/serving/src/internal/model-worker.ts`,
  },
  format: "esm",
  platform: "node",
  target: "node22",
  outDir: "dist",
  clean: true,
  splitting: true,
  sourcemap: true,
  dts: false,
  // Wins over `external`, so it must leave out what that one names.
  noExternal: [new RegExp(`^(?!${external.source.slice(1)})`)],
  external: [external],
  esbuildOptions: (options) => {
    options.conditions = ["@ashlar/source"]
    // Bundled CommonJS packages ask for Node's modules by `require`.
    options.banner = {
      js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
    }
  },
})
