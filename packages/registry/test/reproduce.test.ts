import { Digest } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as Sqlite from "@ashlar/core/sqlite"
import { Capture, Client, Experiments, Reproduce, Runs, Tracking } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { execFileSync, spawnSync } from "node:child_process"
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-reproduce-test-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const database = join(folder, "registry.sqlite")
const layer = Reproduce.layer.pipe(
  Layer.provideMerge(Client.local()),
  Layer.provide(Layer.mergeAll(Runs.layer, Experiments.layer)),
  Layer.provideMerge(
    Layer.merge(Sqlite.layer({ file: database }), Fs.layer({ directory: join(folder, "blobs") })),
  ),
)
const run = <A, E>(effect: Effect.Effect<A, E, Layer.Success<typeof layer>>) =>
  Effect.runPromise(Effect.provide(effect, layer))

const git = (directory: string, ...args: ReadonlyArray<string>) =>
  execFileSync("git", ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", ...args], {
    cwd: directory,
    stdio: ["ignore", "pipe", "pipe"],
  }).toString()

const write = (directory: string, files: Readonly<Record<string, string | Buffer>>) => {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(directory, path, ".."), { recursive: true })
    writeFileSync(join(directory, path), content)
  }
}

let made = 0
const repository = (files: Readonly<Record<string, string | Buffer>>) => {
  const directory = join(folder, `tree-${made++}`)
  mkdirSync(directory)
  git(directory, "init", "--quiet", "--initial-branch=main")
  write(directory, files)
  git(directory, "add", "--all")
  git(directory, "commit", "--quiet", "--message=first")
  return directory
}
const target = () => join(folder, `rebuilt-${made++}`)

/** Every file: its kind, its bits and its bytes. */
const contentsOf = (directory: string, below = ""): ReadonlyMap<string, string> => {
  const found = new Map<string, string>()
  for (const name of readdirSync(join(directory, below))) {
    const path = below === "" ? name : `${below}/${name}`
    const file = join(directory, path)
    const stat = lstatSync(file)
    if (path === ".git" || path === "node_modules") continue
    if (stat.isSymbolicLink()) found.set(path, `-> ${readlinkSync(file)}`)
    else if (stat.isDirectory()) {
      for (const [inner, content] of contentsOf(directory, path)) found.set(inner, content)
    } else {
      const executable = (stat.mode & 0o100) !== 0
      found.set(path, `${executable} ${readFileSync(file).toString("base64")}`)
    }
  }
  return found
}

const { argv } = process
beforeEach(() => {
  process.argv = [process.execPath]
})
afterEach(() => {
  process.argv = argv
  delete process.env["ASHLAR_REPRODUCE"]
})

/** A run with what was captured in a directory, changed by whoever wants to do harm. */
const recorded = (
  directory: string,
  change: (captured: Capture.Captured) => Capture.Captured = (captured) => captured,
) =>
  run(
    Effect.gen(function* () {
      const tracking = yield* Tracking.Tracking
      const { runId } = yield* tracking.startRun({ experiment: "reproduce" })
      const captured = yield* Capture.capture({ directory })
      yield* Capture.record(tracking, runId, change(captured))
      return runId
    }),
  )

const rebuild = (runId: string, repositoryAt: string, into = target()) =>
  run(
    Effect.gen(function* () {
      const reproduce = yield* Reproduce.Reproduce
      return yield* reproduce.rebuild(runId, { into, repository: repositoryAt })
    }),
  )
const failure = (runId: string, repositoryAt: string, into = target()) =>
  run(
    Effect.gen(function* () {
      const reproduce = yield* Reproduce.Reproduce
      return yield* Effect.flip(reproduce.rebuild(runId, { into, repository: repositoryAt }))
    }),
  )

describe("rebuild", () => {
  it("gives the tree back byte for byte", async () => {
    const long = `${"deep/".repeat(30)}file.txt`
    const directory = repository({
      "train.mjs": "console.log(1)\n",
      "no newline": "end",
      "crlf.txt": "a\r\nb\r\n",
      "image.bin": Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) % 256)),
      "gone.txt": "x",
      "mode.sh": "echo\n",
      "sub dir/č.txt": "č\n",
      "a-link-later": "y",
      empty: "",
    })
    git(directory, "checkout", "--quiet", "-b", "side")
    write(directory, { "side.txt": "on a branch that goes away\n" })
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message=second")
    write(directory, {
      "train.mjs": "console.log(2)",
      "crlf.txt": "a\r\nB\r\n",
      "image.bin": Buffer.from(
        Array.from({ length: 5000 }, (_, i) => (i * 7919 + (i === 9 ? 1 : 0)) % 256),
      ),
      "sub dir/č.txt": "ž\n",
      "staged.bin": Buffer.from([0, 255, 13, 10]),
      [long]: "long",
      "new/ünï 😀 name.txt": "new",
      "new/empty": "",
    })
    git(directory, "add", "staged.bin")
    unlinkSync(join(directory, "gone.txt"))
    unlinkSync(join(directory, "a-link-later"))
    symlinkSync("train.mjs", join(directory, "a-link-later"))
    symlinkSync("ünï 😀 name.txt", join(directory, "new/link"))
    chmodSync(join(directory, "mode.sh"), 0o755)
    chmodSync(join(directory, "new/ünï 😀 name.txt"), 0o755)
    const runId = await recorded(directory)
    // The commit is on no branch any more.
    const before = contentsOf(directory)
    git(directory, "stash", "--include-untracked", "--quiet")
    git(directory, "checkout", "--quiet", "main")
    git(directory, "branch", "--quiet", "-D", "side")

    const { directory: rebuilt, missing, source } = await rebuild(runId, directory)
    expect(contentsOf(rebuilt)).toEqual(before)
    expect(missing).toEqual([])
    expect(git(rebuilt, "rev-parse", "HEAD").trim()).toBe(source.git?.commit)
    // Nothing is left beside it.
    expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([])

    const tags = await run(
      Effect.gen(function* () {
        const tracking = yield* Tracking.Tracking
        return (yield* tracking.get(runId)).tags
      }),
    )
    expect(tags).toMatchObject({
      "mlflow.source.git.commit": source.git?.commit,
      "mlflow.source.git.branch": "side",
      "mlflow.source.type": "NOTEBOOK",
      "ashlar.source.tree": source.tree.digest,
    })
  })

  it("rebuilds a script without git, and says what is missing from a tree", async () => {
    const plain = join(folder, "plain")
    write(plain, { "train.mjs": "console.log(3)\n" })
    process.argv = [process.execPath, join(plain, "train.mjs")]
    const alone = await rebuild(await recorded(plain), folder)
    expect(contentsOf(alone.directory)).toEqual(contentsOf(plain))

    const directory = repository({ "a.txt": "a\n", "b.txt": "b\n" })
    write(directory, { "a.txt": "A\n", "b.txt": `AKIA${"IOSFODNN7EXAMPLE"}\n`, ".env": "X=1" })
    const { directory: rebuilt, missing } = await rebuild(await recorded(directory), directory)
    expect(missing.map(({ path }) => path)).toEqual([".env", "b.txt"])
    expect(readFileSync(join(rebuilt, "a.txt"), "utf8")).toBe("A\n")
    expect(readFileSync(join(rebuilt, "b.txt"), "utf8")).toBe("b\n")
  })

  it("asks for the right repository and an empty place", async () => {
    const directory = repository({ "a.txt": "a\n" })
    const runId = await recorded(directory)
    const other = repository({ "a.txt": "other\n" })
    expect(await failure(runId, other)).toMatchObject({ reason: "NotFound", field: "repository" })
    for (const bad of [join(folder, "nowhere"), "ext::sh -c id", "ftp://x/y", "--upload-pack=id"]) {
      expect(await failure(runId, bad)).toMatchObject({ field: "repository" })
    }
    const full = target()
    write(full, { "mine.txt": "mine" })
    expect(await failure(runId, directory, full)).toMatchObject({ field: "into" })
    expect(readFileSync(join(full, "mine.txt"), "utf8")).toBe("mine")
    const none = await run(
      Effect.gen(function* () {
        const tracking = yield* Tracking.Tracking
        const { runId: bare } = yield* tracking.startRun({ experiment: "reproduce" })
        const reproduce = yield* Reproduce.Reproduce
        return yield* Effect.flip(reproduce.source(bare))
      }),
    )
    expect(none).toMatchObject({ reason: "NotFound", message: expect.stringContaining("Capture") })
  })
})

/** A tar header with whatever is asked for. */
const tarOf = (
  entries: ReadonlyArray<{ path: string; type?: string; link?: string; content?: string }>,
) => {
  const blocks = entries.flatMap(({ path, type = "0", link = "", content = "" }) => {
    const header = Buffer.alloc(512)
    header.write(path.slice(0, 100), 0)
    header.write("0000644\0", 100)
    header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124)
    header.write("        ", 148)
    header.write(type, 156)
    header.write(link, 157)
    header.write("ustar\x0000", 257)
    const sum = header.reduce((total, byte) => total + byte, 0)
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
    const padding = Buffer.alloc((512 - (content.length % 512)) % 512)
    return [header, Buffer.from(content), padding]
  })
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

const kept = (bytes: Uint8Array) => ({ digest: Digest.of(bytes), size: bytes.length })

describe("a hostile record", () => {
  const plain = join(folder, "victim")
  mkdirSync(plain)

  const withArchive = (
    entries: Parameters<typeof tarOf>[0],
    listed: ReadonlyArray<{ path: string; mode?: "100644" | "120000"; content?: string }>,
  ) =>
    recorded(plain, ({ source }) => {
      const archive = tarOf(entries)
      const untracked = listed.map(({ path, mode = "100644" as const, content = "" }) => ({
        path,
        mode,
        size: content.length,
        digest: Digest.of(content),
        stored: true,
      }))
      return { source: { ...source, untracked, archive: kept(archive) }, archive }
    })

  it.each([
    "../escaped",
    "a/../../escaped",
    "/tmp/ashlar-escaped",
    "a//b",
    "./a",
    ".git/hooks/post-checkout",
    "a/.GIT/config",
    ".git./config",
    ".g\u200cit/config",
    "GIT~1/config",
    "a\\..\\b",
    "C:/x",
  ])("cannot write to %j", async (path) => {
    const runId = await withArchive([{ path, content: "x" }], [{ path, content: "x" }])
    const into = target()
    const error = await failure(runId, folder, into)
    expect(error).toMatchObject({ reason: "PermissionDenied", field: "ashlar/untracked.tar" })
    expect(existsSync(into)).toBe(false)
    expect(existsSync(join(folder, "escaped"))).toBe(false)
  })

  it("cannot smuggle links, devices, duplicates or files that are not listed", async () => {
    const cases: ReadonlyArray<Parameters<typeof withArchive>> = [
      [[{ path: "l", type: "2", link: "/etc" }], [{ path: "l", mode: "120000", content: "/etc" }]],
      [
        [{ path: "d/l", type: "2", link: "../../x" }],
        [{ path: "d/l", mode: "120000", content: "../../x" }],
      ],
      [[{ path: "h", type: "1", link: "/etc/passwd" }], [{ path: "h" }]],
      [[{ path: "dev", type: "3" }], [{ path: "dev" }]],
      [[{ path: "dir", type: "5" }], [{ path: "dir" }]],
      [
        [
          { path: "a", content: "x" },
          { path: "a", content: "x" },
        ],
        [
          { path: "a", content: "x" },
          { path: "b", content: "x" },
        ],
      ],
      [[{ path: "a", content: "x" }], [{ path: "a", content: "y" }]],
      [[], [{ path: "a", content: "y" }]],
      [
        // A file, and then something below it.
        [
          { path: "a", content: "x" },
          { path: "a/b", content: "x" },
        ],
        [
          { path: "a", content: "x" },
          { path: "a/b", content: "x" },
        ],
      ],
    ]
    for (const [entries, listed] of cases) {
      const error = await failure(await withArchive(entries, listed), folder)
      expect(["PermissionDenied", "Corrupt"]).toContain(error.reason)
    }
  })

  it("cannot damage the archive unnoticed", async () => {
    const archive = tarOf([{ path: "a", content: "x" }])
    const source = (captured: Capture.Captured, bytes: Buffer) => ({
      source: {
        ...captured.source,
        untracked: [
          { path: "a", mode: "100644" as const, size: 1, digest: Digest.of("x"), stored: true },
        ],
        archive: kept(bytes),
      },
      archive: bytes,
    })
    for (const [at, byte] of [
      [3, 65],
      [130, 55],
      [100, 0],
    ] as const) {
      const bytes = Buffer.from(archive)
      bytes[at] = byte
      const runId = await recorded(plain, (captured) => source(captured, bytes))
      expect((await failure(runId, folder)).reason).toMatch(/Corrupt|PermissionDenied/)
    }
    const cut = await recorded(plain, (captured) => source(captured, archive.subarray(0, 1024)))
    expect((await failure(cut, folder)).reason).toBe("Corrupt")
    const other = await recorded(plain, (captured) => ({
      ...source(captured, archive),
      archive: Buffer.from("other"),
    }))
    expect(await failure(other, folder)).toMatchObject({
      reason: "Corrupt",
      field: "ashlar/untracked.tar",
    })
  })

  const withPatch = (directory: string, patch: string | Buffer) =>
    recorded(directory, ({ source }) => {
      const bytes = Buffer.from(patch)
      return { source: { ...source, patch: kept(bytes) }, patch: bytes }
    })
  const created = (path: string, mode: string, content: string) =>
    `diff --git a/${path} b/${path}\nnew file mode ${mode}\n--- /dev/null\n+++ b/${path}\n@@ -0,0 +1 @@\n+${content}\n\\ No newline at end of file\n`

  it("cannot patch outside the tree, git's own files or through links", async () => {
    const directory = repository({ "a.txt": "a\n" })
    for (const patch of [
      created("../escaped", "100644", "x"),
      created(".git/hooks/post-checkout", "100755", "x"),
      created(".GIT/config", "100644", "x"),
      created("outside", "120000", "/etc/passwd"),
      created("up", "120000", "../../x"),
      created("l", "120000", folder) + created("l/escaped", "100644", "x"),
      "diff --git a/a.txt b/b.txt\nsimilarity index 100%\ncopy from a.txt\ncopy to b.txt\n",
      "nonsense",
    ]) {
      const into = target()
      const error = await failure(await withPatch(directory, patch), directory, into)
      expect(error.field).toBe("ashlar/source.patch")
      expect(existsSync(into)).toBe(false)
      expect(existsSync(join(folder, "escaped"))).toBe(false)
    }
    expect(existsSync(join(directory, ".git/hooks/post-checkout"))).toBe(false)
  })

  it("cannot fill the disk with a small patch", async () => {
    const directory = repository({ "a.txt": "a\n", "zeros.bin": Buffer.alloc(3_000_000) })
    // Git's own: 3 MB in some hundred bytes, as a literal and as a delta, there and back.
    write(directory, { "more.bin": Buffer.alloc(3_000_000, 1) })
    git(directory, "add", "more.bin")
    write(directory, { "zeros.bin": Buffer.concat([Buffer.alloc(3_000_000), Buffer.from("x")]) })
    const runId = await recorded(directory)
    const build = (maxBytes: number) =>
      run(
        Effect.gen(function* () {
          const reproduce = yield* Reproduce.Reproduce
          const into = target()
          return yield* Effect.result(
            reproduce.rebuild(runId, { into, repository: directory, maxBytes }),
          )
        }),
      )
    expect(await build(10_000_000)).toMatchObject({ _tag: "Success" })
    expect(await build(5_500_000)).toMatchObject({
      _tag: "Failure",
      failure: { reason: "PermissionDenied", message: expect.stringContaining("more than") },
    })
  })

  it("cannot pass for another tree, nor hold another format", async () => {
    const directory = repository({ "a.txt": "a\n" })
    const wrong = await recorded(directory, (captured) => ({
      ...captured,
      source: {
        ...captured.source,
        tree: { ...captured.source.tree, digest: Digest.of("another") },
      },
    }))
    expect(await failure(wrong, directory)).toMatchObject({
      reason: "PreconditionFailed",
      field: "tree",
    })
    for (const text of [
      "{",
      "[]",
      '{"format":"ashlar.source/2"}',
      '{"format":"ashlar.source/1"}',
    ]) {
      const runId = await run(
        Effect.gen(function* () {
          const tracking = yield* Tracking.Tracking
          const { runId: id } = yield* tracking.startRun({ experiment: "reproduce" })
          const file = join(folder, "source.json")
          writeFileSync(file, text)
          yield* tracking.logArtifact(id, { path: "ashlar/source.json", file })
          return id
        }),
      )
      expect(await failure(runId, directory)).toMatchObject({ reason: "Corrupt" })
    }
    const option = await recorded(directory, (captured) => ({
      ...captured,
      source: { ...captured.source, git: { commit: "a".repeat(40), dirty: false } },
    }))
    expect(await failure(option, directory)).toMatchObject({ reason: "NotFound" })
  })

  it("runs no command that leaves the tree or lost a secret", async () => {
    const directory = repository({ "train.mjs": "process.exit(3)\n" })
    const attempt = async (change: Partial<Capture.Source>) => {
      const runId = await recorded(directory, (captured) => ({
        ...captured,
        source: { ...captured.source, ...change },
      }))
      return run(
        Effect.gen(function* () {
          const reproduce = yield* Reproduce.Reproduce
          const rebuilt = yield* reproduce.rebuild(runId, {
            into: target(),
            repository: directory,
          })
          return yield* Effect.result(reproduce.rerun(rebuilt))
        }),
      )
    }
    expect(await attempt({ command: ["train.mjs"] })).toMatchObject({ success: { exitCode: 3 } })
    for (const change of [
      { command: ["../../../etc/passwd"] },
      { command: ["/etc/passwd"] },
      { command: ["train.mjs"], directory: "../.." },
      { command: ["missing.mjs"] },
      { command: [] },
      { command: ["train.mjs", "--key=[redacted]"] },
    ]) {
      expect((await attempt(change))._tag).toBe("Failure")
    }
  })
})

describe("running again", () => {
  const script = fileURLToPath(new URL("fixtures/client/train.ts", import.meta.url))
  const cli = fileURLToPath(new URL("../src/cli.ts", import.meta.url))
  const node = (directory: string, ...args: ReadonlyArray<string>) =>
    spawnSync(process.execPath, args, { cwd: directory, encoding: "utf8" })

  it("reports the drift of metrics, parameters, data and environment", async () => {
    const directory = repository({
      "package.json": '{"type":"module"}\n',
      "train.ts": readFileSync(script, "utf8"),
    })
    write(directory, { "extra.json": '{"bonus":0.25}' })
    // The script finds the workspace's packages as any program would.
    symlinkSync(
      fileURLToPath(new URL("../../../node_modules", import.meta.url)),
      join(directory, "node_modules"),
    )
    writeFileSync(join(directory, ".git/info/exclude"), "node_modules\n")
    const first = node(directory, "train.ts", folder, "--seed=7")
    expect(first.stderr).toBe("")
    const runId = first.stdout.trim()
    const into = target()
    const options = [
      "--tracking",
      database,
      "--blobs",
      join(folder, "blobs"),
      "--repository",
      directory,
    ]
    const help = node(folder, cli, "--help")
    expect(help.status).toBe(0)
    expect(help.stdout).toContain("reproduce <run>")
    const built = node(folder, cli, "reproduce", runId, ...options, "--into", into)
    expect(built.stderr).toBe("")
    expect(built.status).toBe(0)
    expect(built.stdout).toContain("Not run")
    expect(readFileSync(join(into, "extra.json"), "utf8")).toBe('{"bonus":0.25}')

    symlinkSync(join(directory, "node_modules"), join(into, "node_modules"))
    const report = await run(
      Effect.gen(function* () {
        const reproduce = yield* Reproduce.Reproduce
        const source = yield* reproduce.source(runId)
        const rebuilt = { runId, directory: into, source, missing: [] }
        return yield* reproduce.rerun(rebuilt, { timeoutMs: 60_000 })
      }),
    )
    expect(report.exitCode).toBe(0)
    expect(report.run?.tags["ashlar.reproduces"]).toBe(runId)
    expect(report.comparison).toMatchObject({
      identical: false,
      params: [],
      datasets: [],
      metrics: [
        { metric: "auc", identical: true, points: { a: 5, b: 5 }, maxAbsolute: 0 },
        { metric: "clock", identical: false },
      ],
    })
    const names = report.comparison?.environment.map(({ name }) => name) ?? []
    expect(names).not.toContain("code")
    expect(names).not.toContain("seed main")

    // Another seed.
    const second = node(directory, "train.ts", folder, "--seed=8").stdout.trim()
    const compared = node(folder, cli, "compare", runId, second, ...options.slice(0, 4), "--json")
    expect(compared.status).toBe(1)
    const drift = JSON.parse(compared.stdout)
    expect(drift.params).toEqual([{ name: "seed", a: "7", b: "8" }])
    expect(drift.metrics[0]).toMatchObject({ metric: "auc", identical: false })
    expect(drift.metrics[0].maxAbsolute).toBeCloseTo(0.001, 10)
    expect(drift.environment.map(({ name }: { name: string }) => name)).toContain("seed main")

    const wrong = node(folder, cli, "reproduce", "nothing", ...options, "--into", target())
    expect(wrong.status).toBe(1)
    expect(wrong.stderr).toContain("nothing")
    expect(wrong.stderr).not.toContain("    at ")
    expect(node(folder, cli, "reproduce").status).toBe(2)
    expect(node(folder, cli, "reproduce", "x", "--what").status).toBe(2)
  }, 120_000)
})
