/**
 * A large file up and down through HTTP, beside MLflow's own server: seconds over its seconds, and by
 * how many MB our server's memory rises meanwhile. `ASHLAR_BENCH_GIB` says how large, default 1.
 */
import { createHash } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { missing, mlflow, ours, type Side } from "./servers.ts"

const gib = Number(process.env["ASHLAR_BENCH_GIB"] ?? 1)
const size = Math.round(gib * 2 ** 30)
const rounds = gib > 2 ? 1 : 3
const folder = mkdtempSync(join(tmpdir(), "ashlar-artifacts-bench-"))

const print = (
  bench: string,
  value: number,
  unit: string,
  against: string,
  bar: number | string,
  pass: boolean,
) =>
  console.log(
    JSON.stringify({
      bench: `registry/artifacts ${bench}`,
      value: Number(value.toPrecision(3)),
      unit,
      against,
      bar,
      pass,
    }),
  )

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

/** Bytes of which no two MiB are alike, made as they are sent. */
const content = function* (bytes: number, seed: number) {
  const chunk = Buffer.alloc(1 << 20, `${seed} `)
  for (let at = 0; at < bytes; at += chunk.length) {
    const next = Buffer.from(chunk.subarray(0, Math.min(chunk.length, bytes - at)))
    if (next.length >= 8) next.writeBigUInt64LE(BigInt(at + seed))
    yield next
  }
}

const up = async (base: string, path: string, bytes: number, seed: number): Promise<void> => {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const upload = request(`${base}/${path}`, {
    method: "PUT",
    headers: { "content-length": bytes, "content-type": "application/octet-stream" },
  })
  upload.on("response", (answer) => {
    answer.resume()
    answer.on("end", () => resolve(answer.statusCode ?? 0))
  })
  upload.on("error", reject)
  await pipeline(Readable.from(content(bytes, seed)), upload)
  const status = await promise
  if (status !== 200) throw new Error(`PUT ${path} answered ${status}`)
}

/** Reads a file and drops it; how many bytes came. */
const down = async (base: string, path: string, hashed = false): Promise<string> => {
  const answer = await fetch(`${base}/${path}`)
  const hash = createHash("sha256")
  let bytes = 0
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.length
    if (hashed) hash.update(chunk)
  }
  return hashed ? hash.digest("hex") : String(bytes)
}

const seconds = async (run: () => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  await run()
  return (performance.now() - start) / 1000
}

const rss = (pid: number): number => {
  const [, kib = "0"] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? []
  return Number(kib) / 1024
}

/** Seconds of a transfer, and by how many MiB the server's memory rose meanwhile. */
const measured = async (pid: number, run: () => Promise<unknown>) => {
  const before = rss(pid)
  let peak = before
  const timer = setInterval(() => (peak = Math.max(peak, rss(pid))), 20)
  const time = await seconds(run)
  clearInterval(timer)
  return { time, rise: Math.max(peak, rss(pid)) - before }
}

const baseOf = ({ url }: Side) => `${url}/api/2.0/mlflow-artifacts/artifacts`

const why = missing("sqlite")
await using here = await ours("sqlite", folder)
await using there = why === undefined ? await mlflow("sqlite", folder) : undefined
const sides = there === undefined ? [here] : [here, there]
for (const side of sides) {
  // A server that transfers comes to hold some 130 MiB more than an idle one, whatever the sizes:
  // compiled code, the thread that digests, and what V8 lets pile up between two collections.
  for (let i = 0; i < 4; i++) {
    await up(baseOf(side), `0/warm/${i}`, 256 << 20, i)
    await down(baseOf(side), `0/warm/${i}`)
  }
}
const times = new Map<string, Array<number>>()
const rises: Record<"up" | "down", number> = { up: 0, down: 0 }
for (let round = 0; round < rounds; round++) {
  for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
    const base = baseOf(side)
    for (const way of ["up", "down"] as const) {
      const path = `0/run/${round}`
      const result = await measured(side.pid, () =>
        way === "up" ? up(base, path, size, 100 + round) : down(base, path),
      )
      times.set(`${side.name} ${way}`, [...(times.get(`${side.name} ${way}`) ?? []), result.time])
      if (side.name === "ours") rises[way] = Math.max(rises[way], result.rise)
    }
    await fetch(`${base}/0/run/${round}`, { method: "DELETE" })
  }
}
const of = (name: string) => median(times.get(name) ?? [])
for (const way of ["up", "down"] as const) {
  const rate = `${((gib * 1024) / of(`ours ${way}`)).toFixed(0)} MiB/s`
  print(`memory, ${gib} GiB ${way}`, rises[way], "MiB", rate, 64, rises[way] < 64)
  if (there === undefined) continue
  const ratio = of(`ours ${way}`) / of(`mlflow ${way}`)
  const against = `MLflow's server ${((gib * 1024) / of(`mlflow ${way}`)).toFixed(0)} MiB/s, ours ${rate}`
  print(`${gib} GiB ${way}`, ratio, "x its seconds", against, 1, ratio <= 1)
}
if (why !== undefined) print("beside MLflow's server", Number.NaN, "x", why, 1, false)

// The same bytes again: stored once, and still whole.
await up(baseOf(here), "0/same/a", 64 << 20, 7)
await up(baseOf(here), "0/same/b", 64 << 20, 7)
const expected = createHash("sha256")
for (const chunk of content(64 << 20, 7)) expected.update(chunk)
const whole = (await down(baseOf(here), "0/same/b", true)) === expected.digest("hex")
print("same bytes come back", whole ? 1 : 0, "true", "SHA-256 of what was sent", 1, whole)
rmSync(folder, { recursive: true, force: true })
