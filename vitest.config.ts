import { defineConfig } from "vitest/config"

/** Which suite runs; scripts/test.ts sets it. Unset (vitest started by hand) means all of them. */
const suite = process.env["ASHLAR_SUITE"] ?? "all"

const services = ["packages/*/test/services/**/*.test.ts", "examples/*/test/services/**/*.test.ts"]
const interop = ["packages/*/test/interop/**/*.test.ts", "examples/*/test/interop/**/*.test.ts"]
const every = [
  "packages/*/test/**/*.test.ts",
  "examples/*/test/**/*.test.ts",
  "scripts/test/**/*.test.ts",
]

/** The examples in documentation, as scripts/check/examples.ts writes them. */
const examples = [".ashlar/examples/*.test.ts"]

const include = { services, interop, examples }[suite] ?? every
// The plugin template is tested outside the workspace, from packed tarballs.
const exclude = [
  "**/node_modules/**",
  "**/dist/**",
  "examples/plugin-template/**",
  "**/fixtures/**",
]

const condition = "--conditions=@ashlar/source"
const inherited = process.env["NODE_OPTIONS"] ?? ""

// The private condition resolves @ashlar packages to their sources: tests need no build.
export default defineConfig({
  resolve: { conditions: ["@ashlar/source"] },
  ssr: { resolve: { conditions: ["@ashlar/source"] } },
  test: {
    include,
    exclude: suite === "unit" ? [...exclude, ...services, ...interop] : exclude,
    globalSetup: ["scripts/prepare.ts"],
    pool: "forks",
    maxWorkers: 2,
    execArgv: [condition],
    env: {
      NODE_OPTIONS: inherited.includes(condition) ? inherited : `${inherited} ${condition}`.trim(),
    },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    teardownTimeout: 20_000,
    passWithNoTests: true,
  },
})
