import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { Compute, type Job } from "@ashlar/core"
import * as Process from "@ashlar/core/process"

const submitter = fileURLToPath(new URL("./fixtures/compute-submitter.ts", import.meta.url))

let directory = ""
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ashlar-adopt-"))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const job = (id: string, script: string, rest: Partial<Job.JobSpec> = {}): Job.JobSpec => ({
  id,
  name: "job",
  graceMs: 200,
  ...rest,
  task: { _tag: "Command", argv: ["/bin/sh", "-c", script] },
})

const submit = async (jobs: ReadonlyArray<Job.JobSpec>): Promise<ChildProcess> => {
  const child = spawn(process.execPath, [submitter, directory, JSON.stringify(jobs)], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  await once(child.stdout, "data")
  return child
}

const kill = async (child: ChildProcess) => {
  child.kill("SIGKILL")
  await once(child, "exit")
}

type Service = Compute.Compute["Service"]
const run = <A, E>(use: (compute: Service) => Effect.Effect<A, E>) =>
  Effect.runPromise(
    Effect.provide(
      Compute.Compute.use(use),
      Process.layer({ directory, cpus: 2, stopOnClose: true }),
    ),
  )

const until = async (condition: () => boolean) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20))
}

describe("after kill -9 of the submitter", () => {
  it("running jobs are adopted, ended ones recorded, queued ones started, each once", async () => {
    const at = (name: string) => join(directory, name)
    const once = (name: string, rest = "") => `echo run >> ${at(name)}; ${rest}`
    const child = await submit([
      job(
        "long",
        once("long", `while [ ! -e ${at("go")} ]; do sleep 0.02; done; echo bye; exit 5`),
      ),
      job("short", once("short", "echo done")),
      job("queued", once("queued"), { resources: { cpus: 2 } }),
    ])
    await until(() => existsSync(at("long")))
    await kill(child)
    const [long, short, queued, lines] = await run((compute) =>
      Effect.gen(function* () {
        const running = yield* compute.status("long")
        expect(running.state).toBe("running")
        expect(yield* compute.submit(job("long", "echo again"))).toEqual(running)
        writeFileSync(at("go"), "")
        const statuses = yield* Effect.all(
          [compute.wait("long"), compute.wait("short"), compute.wait("queued")],
          { concurrency: "unbounded" },
        )
        const all = yield* Stream.runCollect(compute.logs("long"))
        return [...statuses, all.map(({ line }) => line)] as const
      }),
    )
    expect(long).toMatchObject({ state: "failed", exitCode: 5 })
    expect(short).toMatchObject({ state: "succeeded", exitCode: 0 })
    expect(queued).toMatchObject({ state: "succeeded" })
    expect(lines).toEqual(["bye"])
    for (const name of ["long", "short", "queued"]) {
      expect(readFileSync(at(name), "utf8"), name).toBe("run\n")
    }
  })

  it("an adopted job is cancelled, and its retries go on", async () => {
    const flaky = `echo try >> ${join(directory, "tries")}; sleep 0.3; exit 1`
    const child = await submit([
      job("deaf", "trap '' TERM; while :; do sleep 1; done"),
      job("flaky", flaky, { retry: { attempts: 3, backoffMs: 10 } }),
    ])
    await until(() => existsSync(join(directory, "tries")))
    await kill(child)
    const [deaf, done] = await run((compute) =>
      Effect.all([compute.cancel("deaf"), compute.wait("flaky")], { concurrency: "unbounded" }),
    )
    expect(deaf).toMatchObject({ state: "cancelled" })
    expect(done).toMatchObject({ state: "failed", attempt: 3, exitCode: 1 })
    expect(readFileSync(join(directory, "tries"), "utf8")).toBe("try\n".repeat(3))
  })

  it("a job whose supervisor was killed too is lost, and stopped", async () => {
    const child = await submit([job("orphan", `echo $$ > ${join(directory, "pid")}; sleep 600`)])
    const pidFile = join(directory, "pid")
    await until(() => existsSync(pidFile) && readFileSync(pidFile, "utf8").endsWith("\n"))
    const pid = Number(readFileSync(pidFile, "utf8"))
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const supervisor = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1])
    await kill(child)
    process.kill(supervisor, "SIGKILL")
    const status = await run((compute) => compute.wait("orphan"))
    expect(status).toMatchObject({ state: "lost" })
    expect(status.message).toContain("supervisor")
    const left = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, "utf8") : " Z "
    expect(left).toContain(" Z ")
  })
})

describe("two submitters on one directory", () => {
  it("run a job once, and both see it", async () => {
    const file = join(directory, "runs")
    const spec = job("shared", `echo run >> ${file}; sleep 0.2`)
    const layer = () => Layer
    const Layer = Process.layer({ directory, cpus: 2, stopOnClose: true })
    const use = Compute.Compute.use((compute) =>
      Effect.andThen(compute.submit(spec), compute.wait(spec.id)),
    )
    const statuses = await Promise.all(
      [1, 2, 3].map(() => Effect.runPromise(Effect.provide(use, layer()))),
    )
    for (const status of statuses) expect(status.state).toBe("succeeded")
    expect(readFileSync(file, "utf8")).toBe("run\n")
  })

  it("either cancels the other's job", async () => {
    const child = await submit([job("theirs", "sleep 600")])
    const status = await run((compute) => compute.cancel("theirs"))
    expect(status.state).toBe("cancelled")
    await kill(child)
  })
})

describe("a layer that closes", () => {
  it("leaves its jobs to the next one", async () => {
    const file = join(directory, "go")
    const open = <A, E>(use: (compute: Service) => Effect.Effect<A, E>) =>
      Effect.runPromise(
        Effect.provide(Compute.Compute.use(use), Process.layer({ directory, cpus: 2 })),
      )
    const script = `while [ ! -e ${file} ]; do sleep 0.02; done; exit 0`
    await open((compute) => compute.submit(job("left", script)))
    writeFileSync(file, "")
    expect(await open((compute) => compute.wait("left"))).toMatchObject({ state: "succeeded" })
  })
})

describe("output", () => {
  it("keeps the newest lines within the limit", async () => {
    const layer = Process.layer({ directory, cpus: 2, logLimitBytes: 8192, stopOnClose: true })
    const spec = job("loud", "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done")
    const lines = await Effect.runPromise(
      Effect.provide(
        Compute.Compute.use((compute) =>
          compute
            .submit(spec)
            .pipe(
              Effect.andThen(compute.wait(spec.id)),
              Effect.andThen(Stream.runCollect(compute.logs(spec.id))),
            ),
        ),
        layer,
      ),
    )
    expect(lines.at(-1)?.line).toBe("line 1999")
    expect(lines.length).toBeGreaterThan(50)
    expect(lines.length).toBeLessThan(400)
    const numbers = lines.map(({ line }) => Number(line.split(" ")[1]))
    expect(numbers).toEqual(numbers.map((_, index) => (numbers[0] ?? 0) + index))
  })
})
