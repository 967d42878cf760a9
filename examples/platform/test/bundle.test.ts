import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import * as Numbers from "./numbers.ts"
import { client, firstToken, start } from "./Platform.ts"

const example = join(import.meta.dirname, "..")
const root = join(example, "../..")
const folder = mkdtempSync(join(tmpdir(), "ashlar-bundle-"))
// Below the root, where the packages that are not bundled are found.
const bundle = join(root, ".ashlar", `platform-bundle-${process.pid}`)

beforeAll(() => {
  const built = spawnSync(
    process.execPath,
    [join(root, "node_modules/tsup/dist/cli-default.js"), "--out-dir", bundle],
    { cwd: example, encoding: "utf8" },
  )
  if (built.status !== 0) throw new Error(`tsup failed: ${built.stderr}`)
})
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
  rmSync(bundle, { recursive: true, force: true })
})

it("starts as a bundle, without the sources, and answers from a model's worker", async () => {
  const directory = join(folder, "data")
  const server = await start({
    file: join(bundle, "main.js"),
    args: ["--directory", directory],
  })
  try {
    const call = client(server.url, await firstToken(server))
    await Numbers.register(Numbers.embedded(directory))
    await Numbers.expectInference(call)
    expect((await call("/health/ready")).status).toBe(200)
  } finally {
    expect(await server.stop()).toEqual({ code: 0 })
  }
})
