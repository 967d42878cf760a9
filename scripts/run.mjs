// Starts a program on a Node that can run it. Plain JavaScript, because the Node that starts
// this file may be too old to strip types: Ashlar's sources need 22.18 or later.
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const [major, minor] = process.versions.node.split(".").map(Number)

const packagedNode = () => {
  const platform = process.platform === "win32" ? "win" : process.platform
  const name = platform === "win" ? "node.exe" : "node"
  return join(root, "node_modules", `node-${platform}-${process.arch}`, "bin", name)
}

const findNode = () => {
  if (major > 22 || (major === 22 && minor >= 18)) return process.execPath
  const packaged = packagedNode()
  if (existsSync(packaged)) return packaged
  console.error(
    `Ashlar needs Node 22.18 or later; this is ${process.versions.node}, and the packaged Node is not installed.\n` +
      "Run `npm ci` in the repository root (with optional dependencies), or install Node 24.",
  )
  process.exit(1)
}

const node = findNode()
const condition = "--conditions=@ashlar/source"
const inherited = process.env.NODE_OPTIONS ?? ""
const child = spawn(node, process.argv.slice(2), {
  stdio: "inherit",
  env: {
    ...process.env,
    // Workers and child processes resolve Ashlar's packages to their sources too.
    NODE_OPTIONS: inherited.includes(condition) ? inherited : `${inherited} ${condition}`.trim(),
    PATH: `${dirname(node)}${process.platform === "win32" ? ";" : ":"}${process.env.PATH ?? ""}`,
  },
})

// A terminal sends Ctrl-C to the whole group, a supervisor signals this process alone:
// forwarding covers both, and the child decides how to stop.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => child.kill(signal))
}
child.on("error", (error) => {
  console.error(`${node} did not start: ${error.message}`)
  process.exit(1)
})
child.on("exit", (code, signal) => {
  if (signal === null) process.exit(code ?? 1)
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
})
