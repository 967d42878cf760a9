import { Accelerator, Digest } from "@ashlar/core"
import { Capture } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, describe, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-capture-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let made = 0
const git = (directory: string, ...args: ReadonlyArray<string>) =>
  execFileSync("git", ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", ...args], {
    cwd: directory,
    stdio: ["ignore", "pipe", "pipe"],
  }).toString()

const repository = (files: Readonly<Record<string, string | Buffer>>) => {
  const directory = join(folder, `tree-${made++}`)
  mkdirSync(directory)
  git(directory, "init", "--quiet", "--initial-branch=main")
  write(directory, files)
  git(directory, "add", "--all")
  git(directory, "commit", "--quiet", "--message=first")
  return directory
}
const write = (directory: string, files: Readonly<Record<string, string | Buffer>>) => {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(directory, path, ".."), { recursive: true })
    writeFileSync(join(directory, path), content)
  }
}

const capture = (directory: string, options: Capture.CaptureOptions = {}) =>
  Effect.runPromise(Capture.capture({ ...options, directory }))

const everything = ({ source, patch, archive }: Capture.Captured) =>
  [JSON.stringify(source), ...[patch, archive].map((bytes) => Buffer.from(bytes ?? []))]
    .map((part) => part.toString("latin1"))
    .join("\n")

const [argv, env] = [process.argv, { ...process.env }]
afterEach(() => {
  process.argv = argv
  for (const name of Object.keys(process.env)) if (!(name in env)) delete process.env[name]
})

// Assembled: they must not be found in this file.
const awsKey = `AKIA${"IOSFODNN7EXAMPLE"}`
const githubToken = `ghp_${"a1B2".repeat(9)}`

describe("capture", () => {
  it("finds commit, branch, remote, changes, untracked files and lockfiles", async () => {
    const directory = repository({
      "train.mjs": "console.log(1)\n",
      "data/x.bin": Buffer.from([0, 1, 2]),
      "package-lock.json": "{}",
      ".gitignore": "node_modules\n",
    })
    const url = ["https://ada:", "hunter22", "@git.example/ml.git?token=x"].join("")
    git(directory, "remote", "add", "origin", url)
    write(directory, {
      "train.mjs": "console.log(2)\n",
      "data/x.bin": Buffer.from([0, 1, 2, 255]),
      "new file č.txt": "notes",
      "node_modules/x/index.js": "ignored",
    })
    const data = join(folder, "data.parquet")
    writeFileSync(data, "PAR1")
    process.argv = [process.execPath, join(directory, "train.mjs"), "--rate", "0.1"]
    const captured = await capture(directory, {
      seeds: { numpy: 7 },
      datasets: [{ name: "train", uri: `file://${data}` }],
    })
    const { source } = captured
    expect(source).toMatchObject({
      git: {
        commit: git(directory, "rev-parse", "HEAD").trim(),
        branch: "main",
        remote: "https://git.example/ml.git",
        dirty: true,
      },
      untracked: [
        {
          path: "new file č.txt",
          mode: "100644",
          size: 5,
          digest: Digest.of("notes"),
          stored: true,
        },
      ],
      withheld: [],
      tree: { files: 5, complete: true },
      lockfiles: [{ path: "package-lock.json", digest: Digest.of("{}") }],
      runtime: { name: "node", version: process.versions.node },
      directory: "",
      seeds: { numpy: 7 },
      datasets: [{ name: "train", digest: Digest.of("PAR1") }],
    })
    expect(source.command.slice(-3)).toEqual(["train.mjs", "--rate", "0.1"])
    expect(source.machine.memoryBytes).toBeGreaterThan(1e6)
    expect(Buffer.from(captured.patch ?? []).toString()).toContain("GIT binary patch")
    expect(source.patch?.digest).toBe(Digest.of(captured.patch ?? ""))
    expect(everything(captured)).not.toContain("hunter22")
    // The same tree gives the same bytes, from any folder of it.
    const again = await capture(join(directory, "data"))
    expect(again.source.tree).toEqual(source.tree)
    expect(Digest.of(again.archive ?? "")).toBe(source.archive?.digest)
    expect(again.source.directory).toBe("data")
  })

  it("keeps no secret, whatever it hides in, and says what it left out", async () => {
    const directory = repository({
      "config.py": "key = None\n",
      "old.py": `key = "${awsKey}"\n`,
      ".env.local": "A=1\n",
      "blob.bin": Buffer.alloc(100),
    })
    process.env["ASHLAR_TEST_API_TOKEN"] = "correct-horse-battery"
    process.env["MLFLOW_TRACKING_PASSWORD"] = "hunter2hunter2"
    process.env["MLFLOW_TRACKING_URI"] = `http://ada:${"lovelace1"}@mlflow`
    process.env["OMP_NUM_THREADS"] = "4"
    process.env["HOME_ADDRESS"] = "Baker Street"
    write(directory, {
      // Changed, tracked.
      "config.py": `key = "${awsKey}"\n`,
      "old.py": "key = None\n",
      ".env.local": "A=2\n",
      "blob.bin": Buffer.concat([Buffer.alloc(50), Buffer.from(githubToken)]),
      // Untracked.
      ".env": "PASSWORD=x\n",
      "certs/server.pem": "x",
      "notes.txt": "the token is correct-horse-battery",
      "mail.txt": `curl -H 'Authorization: Bearer ${"abcdef0123".repeat(3)}'`,
      "fine.txt": "nothing to hide",
      ".env.example": "PASSWORD=\n",
    })
    process.argv = [
      process.execPath,
      join(directory, "config.py"),
      "--api-key",
      "swordfish",
      "--password=swordfish",
      "GH_TOKEN=swordfish",
      "correct-horse-battery",
      `--remote=https://ada:${"swordfish1"}@host/x`,
      "--epochs=3",
    ]
    const captured = await capture(directory)
    const { source } = captured
    const all = everything(captured)
    for (const secret of [
      awsKey,
      githubToken,
      "correct-horse",
      "hunter2",
      "lovelace1",
      "swordfish",
      "abcdef0123",
      "Baker Street",
      "A=2",
    ]) {
      expect(all).not.toContain(secret)
    }
    expect(source.untracked.map(({ path }) => path)).toEqual([".env.example", "fine.txt"])
    expect(source.withheld.map(({ path }) => path).toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
      ".env",
      ".env.local",
      "blob.bin",
      "certs/server.pem",
      "config.py",
      "mail.txt",
      "notes.txt",
      "old.py",
    ])
    expect(source.tree.complete).toBe(false)
    expect(source.env).toMatchObject({
      MLFLOW_TRACKING_PASSWORD: "[redacted]",
      OMP_NUM_THREADS: "4",
    })
    expect(source.command.slice(-6)).toEqual([
      "[redacted]",
      "--password=[redacted]",
      "GH_TOKEN=[redacted]",
      "[redacted]",
      "--remote=https://ada:[redacted]@host/x",
      "--epochs=3",
    ])
  })

  it("keeps to its limits", async () => {
    const directory = repository({ "a.txt": "a\n" })
    write(directory, {
      "a.txt": `${"x".repeat(5000)}\n`,
      "big.bin": Buffer.alloc(3000, 1),
      "small.bin": Buffer.alloc(1000, 2),
      "third.bin": Buffer.alloc(1000, 3),
    })
    symlinkSync("small.bin", join(directory, "link"))
    symlinkSync("/etc/passwd", join(directory, "outside"))
    chmodSync(join(directory, "third.bin"), 0o755)
    const { source, patch } = await capture(directory, {
      limits: { fileBytes: 2000, totalBytes: 1500, patchBytes: 1000, files: 100 },
    })
    expect(patch).toBeUndefined()
    expect(source.untracked.map(({ path, mode, stored }) => [path, mode, stored])).toEqual([
      ["big.bin", "100644", false],
      ["link", "120000", true],
      ["small.bin", "100644", true],
      ["third.bin", "100755", false],
    ])
    expect(source.withheld).toEqual([
      { path: "outside", reason: "a link that leaves the tree" },
      { path: "a.txt", reason: "the patch has more than 1000 bytes" },
    ])
    const few = await capture(directory, { limits: { files: 2 } })
    expect(few.source.untracked).toHaveLength(2)
    expect(few.source.withheld.at(-1)?.reason).toContain("more than 2 untracked files")
  })

  it("runs nothing that a repository configures", async () => {
    const directory = repository({ "a.txt": "a\n" })
    const trap = join(folder, "trap")
    const script = join(folder, "trap.sh")
    writeFileSync(script, `#!/bin/sh\necho caught >> ${trap}\ncat\n`)
    chmodSync(script, 0o755)
    for (const key of ["core.fsmonitor", "diff.external", "core.pager", "diff.t.textconv"]) {
      git(directory, "config", key, script)
    }
    write(directory, { "a.txt": "b\n", ".gitattributes": "*.txt diff=t\n" })
    const { source } = await capture(directory)
    expect(source.git?.dirty).toBe(true)
    expect(existsSync(trap)).toBe(false)
  })

  it("works without git, without a commit and without a script", async () => {
    const plain = join(folder, "plain")
    write(plain, { "train.mjs": "1", "other.txt": "2" })
    process.argv = [process.execPath, join(plain, "train.mjs")]
    const alone = await capture(plain)
    expect(alone.source.git).toBeUndefined()
    expect(alone.source.untracked.map(({ path }) => path)).toEqual(["train.mjs"])

    const young = join(folder, "young")
    write(young, { "a.txt": "1", "b.txt": "2" })
    git(young, "init", "--quiet")
    git(young, "add", "a.txt")
    const first = await capture(young)
    expect(first.source.git).toBeUndefined()
    expect(first.source.untracked.map(({ path }) => path)).toEqual(["a.txt", "b.txt"])

    process.argv = [process.execPath]
    const notebook = await capture(plain)
    expect(notebook.source.command).toEqual([])
    expect(notebook.source.untracked).toEqual([])
  })

  it("lists devices where somebody provides them", async () => {
    const plain = join(folder, "devices")
    mkdirSync(plain)
    const devices = [
      {
        id: "cuda:0",
        kind: "cuda" as const,
        name: "H200",
        units: 1,
        features: [],
        providers: [],
      },
    ]
    const { source } = await Effect.runPromise(
      Effect.provideService(
        Capture.capture({ directory: plain }),
        Accelerator.Accelerator,
        Accelerator.Accelerator.of({
          discover: Effect.succeed({ devices, absent: [] }),
          lease: () => Effect.never,
        }),
      ),
    )
    expect(source.machine.devices).toEqual([{ id: "cuda:0", kind: "cuda", name: "H200" }])
  })
})
