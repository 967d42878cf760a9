import { Digest } from "@ashlar/core"
import { Capture, Client, Reproduce, Tracking } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { execFile, execFileSync } from "node:child_process"
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { startMlflow, startOurs, type Started } from "./differential/servers.ts"

const python = process.env["ASHLAR_PYTHON"] ?? ""
const servers = {
  "our server": startOurs,
  ...((process.env["ASHLAR_MLFLOW"] ?? "") === "" ? {} : { "the real mlflow server": startMlflow }),
}

// Assembled: they must not be found in this file.
const awsKey = `AKIA${"IOSFODNN7EXAMPLE"}`

describe.skipIf(python === "").each(Object.entries(servers))("Python on %s", (_, start) => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-python-"))
  const tree = join(folder, "tree")
  const pythonFolder = fileURLToPath(new URL("../../python", import.meta.url))
  const script = fileURLToPath(new URL("capture_client.py", import.meta.url))
  let server: Started

  const git = (...args: ReadonlyArray<string>) =>
    execFileSync("git", ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", ...args], {
      cwd: tree,
      stdio: ["ignore", "pipe", "pipe"],
    }).toString()

  /** Not `spawnSync`: our server answers from this process. */
  const train = async (
    directory: string,
    env: Readonly<Record<string, string>>,
    ...args: ReadonlyArray<string>
  ) => {
    const { stdout } = await promisify(execFile)(python, ["train.py", ...args], {
      cwd: directory,
      timeout: 90_000,
      env: {
        ...process.env,
        MLFLOW_TRACKING_URI: server.url,
        CAPTURE_PATH: pythonFolder,
        SERVICE_PASSWORD: "correct-horse-battery",
        ...env,
      },
    })
    const said: { readonly run: string; readonly source: Capture.Source } = JSON.parse(
      stdout.trim().split("\n").at(-1) ?? "",
    )
    return said
  }

  const use = <A, E>(
    effect: Effect.Effect<A, E, Reproduce.Reproduce | Tracking.Tracking>,
  ): Promise<A> =>
    Effect.runPromise(
      Effect.provide(
        effect,
        Reproduce.layer.pipe(Layer.provideMerge(Client.remote({ url: server.url }))),
      ),
    )

  beforeAll(async () => {
    server = await start(folder)
    mkdirSync(join(tree, "data/deep"), { recursive: true })
    git("init", "--quiet", "--initial-branch=main")
    copyFileSync(script, join(tree, "train.py"))
    writeFileSync(join(tree, "image.bin"), Buffer.from([0, 1, 2, 255]))
    writeFileSync(join(tree, "gone.txt"), "x")
    writeFileSync(join(tree, "requirements.txt"), "mlflow-skinny==3.17.2\n")
    writeFileSync(join(tree, ".gitignore"), "*.log\n")
    git("add", "--all")
    git("commit", "--quiet", "--message=first")
    writeFileSync(join(tree, "image.bin"), Buffer.from([0, 1, 2, 254, 10, 13]))
    rmSync(join(tree, "gone.txt"))
    writeFileSync(join(tree, "extra.json"), '{"bonus": 0.25}')
    writeFileSync(join(tree, "ignored.log"), "ignored")
    writeFileSync(join(tree, "data/run me č.sh"), "echo\n")
    chmodSync(join(tree, "data/run me č.sh"), 0o755)
    writeFileSync(join(tree, `data/deep/${"long".repeat(40)}.txt`), "long")
    symlinkSync("run me č.sh", join(tree, "data/link"))
    writeFileSync(join(tree, "large.bin"), Buffer.alloc(6000))
    writeFileSync(join(tree, "notes.txt"), `key ${awsKey}`)
    writeFileSync(join(tree, ".env"), "A=1")
  })
  afterAll(async () => {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it("records a script that is rebuilt byte for byte, run again and compared", async () => {
    const first = await train(tree, {}, folder, "--seed=7", "--api-key", "swordfish")
    // What Python says of the tree is what Node says of it.
    const { source: own } = await Effect.runPromise(
      Capture.capture({ directory: tree, limits: { fileBytes: 5000 } }),
    )
    const sorted = (files: ReadonlyArray<{ readonly path: string }>) =>
      files.toSorted((a, b) => (a.path < b.path ? -1 : 1))
    expect(first.source.tree).toEqual(own.tree)
    expect(first.source.git).toEqual(own.git)
    expect(first.source.patch).toEqual(own.patch)
    expect(sorted(first.source.untracked)).toEqual(sorted(own.untracked))
    expect(sorted(first.source.withheld)).toEqual(sorted(own.withheld))
    expect(first.source.lockfiles).toEqual(own.lockfiles)
    expect(own.withheld.map(({ path }) => path)).toEqual([".env", "notes.txt"])
    expect(first.source.command).toEqual([
      "train.py",
      folder,
      "--seed=7",
      "--api-key",
      "[redacted]",
    ])
    expect(first.source.datasets).toEqual([
      {
        name: "extra",
        uri: `file://${join(tree, "extra.json")}`,
        digest: Digest.of('{"bonus": 0.25}'),
      },
    ])
    expect(
      first.source.runtime.packages["mlflow-skinny"] ?? first.source.runtime.packages["mlflow"],
    ).toBe("3.17.2")
    expect(JSON.stringify(first)).not.toMatch(/correct-horse|swordfish|AKIA/)

    const into = join(folder, "rebuilt")
    const second = await train(tree, {}, folder, "--seed=7")
    const report = await use(
      Effect.gen(function* () {
        const reproduce = yield* Reproduce.Reproduce
        const tracking = yield* Tracking.Tracking
        const { tags } = yield* tracking.get(first.run)
        expect(tags).toMatchObject({
          "mlflow.source.name": "train.py",
          "mlflow.source.type": "LOCAL",
          "mlflow.source.git.commit": first.source.git?.commit,
          "mlflow.source.git.branch": "main",
        })
        // Its argument was a secret.
        const one = yield* reproduce.rebuild(first.run, {
          into: join(folder, "first"),
          repository: tree,
        })
        expect((yield* Effect.flip(reproduce.rerun(one))).field).toBe("command")

        const rebuilt = yield* reproduce.rebuild(second.run, { into, repository: tree })
        expect(rebuilt.missing.map(({ path }) => path)).toEqual([".env", "notes.txt", "large.bin"])
        process.env["MLFLOW_TRACKING_URI"] = server.url
        process.env["CAPTURE_PATH"] = pythonFolder
        return yield* reproduce.rerun(rebuilt, { python, timeoutMs: 120_000 })
      }),
    )
    expect(readFileSync(join(into, "image.bin"))).toEqual(readFileSync(join(tree, "image.bin")))
    expect(readFileSync(join(into, "data/link"), "utf8")).toBe("echo\n")
    expect(existsSync(join(into, "gone.txt"))).toBe(false)
    expect(existsSync(join(into, "ignored.log"))).toBe(false)
    expect(report.exitCode).toBe(0)
    expect(report.run?.tags["ashlar.reproduces"]).toBe(second.run)
    expect(report.comparison).toMatchObject({
      identical: true,
      params: [],
      datasets: [],
      metrics: [{ metric: "auc", identical: true, points: { a: 5, b: 5 } }],
    })
  }, 240_000)

  it("records a notebook, which has no script, and a folder without git", async () => {
    const said = await train(tree, { CAPTURE_NOTEBOOK: "1" })
    expect(said.source.command).toEqual([])
    const plain = join(folder, "plain")
    mkdirSync(plain)
    copyFileSync(script, join(plain, "train.py"))
    writeFileSync(join(plain, "extra.json"), '{"bonus": 0.5}')
    const alone = await train(plain, {}, folder)
    expect(alone.source.git).toBeUndefined()
    expect(alone.source.untracked.map(({ path }) => path)).toEqual(["train.py"])
    await use(
      Effect.gen(function* () {
        const reproduce = yield* Reproduce.Reproduce
        const tracking = yield* Tracking.Tracking
        expect((yield* tracking.get(said.run)).tags["mlflow.source.type"]).toBe("NOTEBOOK")
        const notebook = yield* reproduce.rebuild(said.run, {
          into: join(folder, "notebook"),
          repository: tree,
        })
        const refused = yield* Effect.flip(reproduce.rerun(notebook))
        expect(refused.message).toContain("notebook")
        const { directory } = yield* reproduce.rebuild(alone.run, {
          into: join(folder, "alone"),
          repository: tree,
        })
        expect(readFileSync(join(directory, "train.py"))).toEqual(readFileSync(script))
      }),
    )
  }, 120_000)
})
