import { Transfer } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { startOurs, type Started } from "./interop/differential/servers.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-transfer-"))
let server: Started
beforeAll(async () => {
  server = await startOurs(folder)
})
afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

const write = (root: string, files: Readonly<Record<string, string>>) => {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
}
let stores = 0
/** A file store of one experiment with three runs; the second is deleted. */
const store = (changes: Readonly<Record<string, string>> = {}) => {
  const name = `store-${stores++}`
  const root = join(folder, name)
  const run = (id: string, stage = "active") => ({
    [`1/${id}/meta.yaml`]: `run_id: ${id}\nrun_name: run ${id}\nexperiment_id: '1'\nlifecycle_stage: ${stage}\nstatus: 3\nstart_time: 1700000000000\nend_time: 1700000001000\nuser_id: ada\n`,
    [`1/${id}/params/deep/rate`]: "0.1",
    [`1/${id}/tags/mlflow.parentRunId`]: "a".repeat(32),
    [`1/${id}/metrics/loss`]: "1700000000001 0.5 0\n1700000000002 nan 1\n1700000000002 nan 1\n",
    [`1/${id}/artifacts/notes/a.txt`]: "hello",
  })
  write(root, {
    "1/meta.yaml": `experiment_id: '1'\nname: ${name}\nlifecycle_stage: active\n`,
    "1/tags/team": "delay",
    ...run("a".repeat(32)),
    ...run("b".repeat(32), "deleted"),
    ...run("c".repeat(32)),
    "models/m/meta.yaml": "name: m\ndescription: null\n",
    ...changes,
  })
  return { root, name }
}
const copy = (fileStore: string, more: Partial<Transfer.TransferOptions> = {}) =>
  Effect.runPromise(
    Transfer.copy({ from: { fileStore }, to: { url: server.url, retries: 0 }, ...more }),
  )
const refused = (fileStore: string, more: Partial<Transfer.TransferOptions> = {}) =>
  copy(fileStore, more).then(
    () => ({ reason: "none", message: "", field: "" }),
    (error: { readonly reason: string; readonly message: string; readonly field?: string }) =>
      error,
  )

const cli = (...args: ReadonlyArray<string>) => {
  const program = fileURLToPath(new URL("../src/cli.ts", import.meta.url))
  const child = spawn(process.execPath, ["--conditions=@ashlar/source", program, ...args])
  let stdout = ""
  let stderr = ""
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()))
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) =>
    child.on("close", (code) => resolve({ code, stdout, stderr })),
  )
}

describe("the command transfer", () => {
  it("copies a file store and prints what it did", async () => {
    const { root, name } = store()
    const done = await cli("transfer", "--from", root, "--to", server.url, "--experiment", name)
    expect(done.code).toBe(0)
    expect(done.stdout).toMatch(/runs\s+2\s+2\s+0\n/)
    expect(done.stderr).toContain(`experiment ${name}`)
    const again = await cli("transfer", "--from", `file://${root}`, "--to", server.url, "--json")
    expect(JSON.parse(again.stdout)).toMatchObject({ runs: { found: 2, copied: 0, skipped: 2 } })
  })

  it("says what is wrong", async () => {
    const to = await cli("transfer", "--from", folder, "--to", "somewhere")
    expect(to).toMatchObject({ code: 1, stderr: expect.stringContaining("--to is somewhere") })
    const from = await cli("transfer", "--to", server.url)
    expect(from).toMatchObject({ code: 1, stderr: expect.stringContaining("--from is missing") })
  })
})

describe("a file store", () => {
  it("is copied once, deleted runs left out", async () => {
    const { root } = store()
    const report = await copy(root)
    expect(report).toMatchObject({
      experiments: { found: 1, copied: 1, skipped: 0 },
      runs: { found: 2, copied: 2, skipped: 0 },
      points: 4,
      params: 2,
      files: 2,
      bytes: 10,
      differing: [],
      failures: [],
    })
    expect((await copy(root)).runs).toEqual({ found: 2, copied: 0, skipped: 2 })
  })

  it("has the same digest wherever it is copied from, and another when a point is another", async () => {
    const one = await copy(store().root)
    const same = await copy(store().root)
    const other = await copy(
      store({ [`1/${"c".repeat(32)}/metrics/loss`]: "1700000000001 0.5000001 0\n" }).root,
    )
    expect(same.digest).toBe(one.digest)
    expect(other.digest).not.toBe(one.digest)
  })

  it("is gone on with where a server that went away stopped it", async () => {
    const { root } = store()
    let left = 9
    const proxy: Server = createServer((request, response) => {
      if (left-- <= 0) return void request.socket.destroy()
      const chunks: Array<Buffer> = []
      request.on("data", (chunk: Buffer) => chunks.push(chunk))
      request.on("end", () => {
        const body = Buffer.concat(chunks)
        const type = request.headers["content-type"]
        void fetch(`${server.url}${request.url ?? ""}`, {
          method: request.method ?? "GET",
          ...(type === undefined ? {} : { headers: { "content-type": type } }),
          ...(body.length === 0 ? {} : { body }),
        }).then(async (answer) => {
          response.writeHead(answer.status, { "content-type": "application/json" })
          response.end(Buffer.from(await answer.arrayBuffer()))
        })
      })
    })
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve))
    const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
    const stopped = await refused(root, { to: { url, retries: 0 }, concurrency: 1 })
    expect(stopped.reason).toBe("Unavailable")
    proxy.close()
    const report = await copy(root)
    expect(report.runs.found).toBe(2)
    expect(report.runs.copied + report.runs.skipped).toBe(2)
    expect(report.differing).toEqual([])
    const whole = await copy(store().root)
    expect(report.digest).toBe(whole.digest)
  })

  const id = "a".repeat(32)
  it.each([
    ["meta.yaml of another kind", `1/${id}/meta.yaml`, "- 1\n", "is not as MLflow writes it"],
    ["YAML that does not end", `1/${id}/meta.yaml`, "a: [", "cannot be read"],
    [
      "YAML that multiplies itself",
      `1/${id}/meta.yaml`,
      `a: &a [x,x]\n${"bcdefghijklmnop"
        .split("")
        .map((c, i, all) => `${c}: &${c} [${`*${all[i - 1] ?? "a"},`.repeat(9)}]`)
        .join("\n")}\n`,
      "cannot be read",
    ],
  ])("with %s is refused, and the file is named", async (_, path, text, message) => {
    const { root } = store({ [path]: text })
    const error = await refused(root)
    expect(error.message).toContain(message)
    expect(error.message).toContain(path.slice(2))
  })

  it("with a point that is none loses that run alone, and says where", async () => {
    const { root } = store({ [`1/${id}/metrics/loss`]: "1 2 3\nx; drop\n" })
    const report = await copy(root)
    expect(report.runs).toEqual({ found: 2, copied: 1, skipped: 0 })
    expect(report.failures).toEqual([
      { kind: "run", id, why: expect.stringContaining('the line "x; drop", which is no point') },
    ])
  })

  it("with a link in it does not lead out of it", async () => {
    const { root, name } = store()
    const target = join(root, "1", id, "artifacts", "secret")
    symlinkSync("/etc/hostname", target)
    const report = await copy(root)
    expect(report.failures).toEqual([
      { kind: "run", id, why: expect.stringContaining("links are not followed") },
    ])
    rmSync(target)
    symlinkSync("/etc", join(root, "2"))
    expect((await copy(root)).experiments.found).toBe(1)
    const moved = join(folder, `${name}-moved`)
    cpSync(root, moved, { recursive: true })
    symlinkSync(moved, join(folder, `${name}-link`))
    expect((await copy(join(folder, `${name}-link`))).runs.skipped).toBe(2)
  })

  it.each<
    readonly [string, Partial<Transfer.TransferOptions> & { readonly directory?: string }, string]
  >([
    ["a directory that is not there", { directory: "/no/such" }, "directory"],
    ["an unknown experiment", { experiments: ["other"] }, "experiments"],
    ["too many at a time", { concurrency: 100 }, "concurrency"],
    ["a URL that is none", { to: { url: "ftp://x" } }, "url"],
  ])("is refused for %s", async (_, { directory, ...more }, field) => {
    const error = await refused(directory ?? store().root, more)
    expect(error).toMatchObject({ reason: "InvalidInput", field })
  })
})
