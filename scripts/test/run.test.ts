import { spawn, spawnSync } from "node:child_process"
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "vitest"
import { root } from "../workspace.ts"
import { treeOf } from "./tree.ts"

const launcher = join(root, "scripts/run.mjs")

const launch = (program: string, ...args: ReadonlyArray<string>) => {
  const tree = treeOf({ "program.ts": program })
  return spawnSync(process.execPath, [launcher, join(tree, "program.ts"), ...args], {
    encoding: "utf8",
  })
}

it("runs TypeScript with its arguments and the source condition, once", () => {
  const program = `const given: ReadonlyArray<string> = process.argv.slice(2)
    console.log(JSON.stringify({ given, options: process.env.NODE_OPTIONS }))`
  const { status, stdout } = launch(program, "a b", "--flag")
  const { given, options } = JSON.parse(stdout)
  expect(status).toBe(0)
  expect(given).toEqual(["a b", "--flag"])
  expect(options.match(/--conditions=@ashlar\/source/g)).toHaveLength(1)
})

it.each([0, 1, 42])("exits with the program's code %i", (code) => {
  expect(launch(`process.exitCode = ${code}`).status).toBe(code)
})

it("dies of the signal that its program died of", () => {
  expect(launch(`process.kill(process.pid, "SIGKILL")`).signal).toBe("SIGKILL")
})

it.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
  "hands %s to the program, which decides how to stop",
  async (signal) => {
    const program = `process.on("${signal}", () => { console.log("draining"); clearInterval(timer); process.exitCode = 7 })
    const timer = setInterval(() => {}, 1000)
    console.log("ready")`
    const child = spawn(process.execPath, [
      launcher,
      join(treeOf({ "program.ts": program }), "program.ts"),
    ])
    let output = ""
    child.stdout.on("data", (chunk) => {
      output += String(chunk)
      if (output === "ready\n") child.kill(signal)
    })
    const code = await new Promise((resolve) => child.on("close", resolve))
    expect(output).toBe("ready\ndraining\n")
    expect(code).toBe(7)
  },
)

it("dies of a signal that its program does not handle", async () => {
  const program = `setInterval(() => {}, 1000)\nconsole.log("ready")`
  const child = spawn(process.execPath, [
    launcher,
    join(treeOf({ "program.ts": program }), "program.ts"),
  ])
  child.stdout.once("data", () => child.kill("SIGTERM"))
  expect(await new Promise((resolve) => child.on("close", (_, signal) => resolve(signal)))).toBe(
    "SIGTERM",
  )
})

it("on an old Node without the packaged one, says what is missing", () => {
  const tree = treeOf({ "program.ts": "console.log('ran')" })
  mkdirSync(join(tree, "scripts"))
  copyFileSync(launcher, join(tree, "scripts/run.mjs"))
  // The launcher reads process.versions; a preloaded file makes this Node look old.
  writeFileSync(
    join(tree, "old.mjs"),
    `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.11.0" } })`,
  )
  const args = [
    "--import",
    join(tree, "old.mjs"),
    join(tree, "scripts/run.mjs"),
    join(tree, "program.ts"),
  ]
  const { status, stderr, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" })
  expect(status).toBe(1)
  expect(stdout).toBe("")
  expect(stderr).toMatch(/needs Node 22\.18 or later; this is 20\.11\.0.*\nRun `npm ci`/)
})
