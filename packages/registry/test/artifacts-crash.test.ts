import * as Fs from "@ashlar/core/fs"
import * as Sqlite from "@ashlar/core/sqlite"
import { Artifacts } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type ChildProcess, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { mkdtempSync, readdirSync, rmSync, utimesSync } from "node:fs"
import { request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { afterAll, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-artifacts-crash-"))
const children: Array<ChildProcess> = []
afterAll(() => {
  for (const child of children) child.kill("SIGKILL")
  rmSync(folder, { recursive: true, force: true })
})

const start = async (port: string) => {
  const script = fileURLToPath(new URL("fixtures/artifactServer.ts", import.meta.url))
  const child = spawn(process.execPath, [script, folder, port], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  children.push(child)
  const [url] = (await once(createInterface({ input: child.stdout }), "line")) as [string]
  return {
    base: `${url}/api/2.0/mlflow-artifacts`,
    port: new URL(url).port,
    kill: async () => {
      const gone = once(child, "exit")
      child.kill("SIGKILL")
      await gone
    },
  }
}

const post = async (url: string, body: object) => {
  const answer = await fetch(url, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
  })
  expect(answer.status).toBe(200)
  return (await answer.json()) as Record<string, unknown>
}

const content = (seed: number, size: number) => Buffer.alloc(size, `content ${seed} `)
const sha = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

/** Sends half of a file and leaves the other half open. */
const half = (base: string, path: string, bytes: Buffer) => {
  const upload = request(`${base}/artifacts/${path}`, {
    method: "PUT",
    headers: { "content-length": bytes.length },
  })
  upload.on("error", () => undefined)
  upload.write(bytes.subarray(0, bytes.length / 2))
}

it("keeps what it acknowledged, and goes on with uploads, when it is killed", async () => {
  let server = await start("0")
  const { port } = server
  const size = 2_000_000
  const parts = 6
  const created = await post(`${server.base}/mpu/create/up`, { path: "big.bin", num_parts: parts })
  const credentials = created["credentials"] as ReadonlyArray<{ url: string }>
  const etags = new Map<number, string>()
  const acknowledged = new Map<string, string>()
  for (let attempt = 0; attempt < 4; attempt++) {
    half(server.base, `half/${attempt}`, content(900 + attempt, size))
    // Files and parts go in at once until the server is killed in the midst of them.
    const sending = (async () => {
      for (let i = 0; i < 100; i++) {
        const bytes = content(attempt * 100 + i, 300_000 + i)
        const path = `f/${attempt}-${i}`
        const answer = await fetch(`${server.base}/artifacts/${path}`, {
          method: "PUT",
          body: bytes,
        }).catch(() => undefined)
        if (answer?.status !== 200) return
        acknowledged.set(path, sha(bytes))
      }
    })()
    const parting = (async () => {
      for (let part = 1; part <= parts; part++) {
        if (etags.has(part)) continue
        const answer = await fetch(credentials[part - 1]?.url ?? "", {
          method: "PUT",
          body: content(part, size),
        }).catch(() => undefined)
        if (answer?.status !== 200) return
        etags.set(part, answer.headers.get("etag") ?? "")
        if (etags.size > (attempt + 1) * 2) return
      }
    })()
    await sleep(60 + attempt * 70)
    await server.kill()
    await Promise.all([sending, parting])
    server = await start(port)
  }
  expect(acknowledged.size).toBeGreaterThan(0)
  for (const [path, digest] of acknowledged) {
    const answer = await fetch(`${server.base}/artifacts/${path}`)
    expect([path, sha(new Uint8Array(await answer.arrayBuffer()))]).toEqual([path, digest])
  }
  // What was under way is there whole or not at all.
  const listed = (await (await fetch(`${server.base}/artifacts?path=f`)).json()) as {
    files?: ReadonlyArray<{ path: string; file_size: number }>
  }
  for (const { path, file_size } of listed.files ?? []) {
    const bytes = await (await fetch(`${server.base}/artifacts/f/${path}`)).arrayBuffer()
    expect(bytes.byteLength).toBe(file_size)
    const [attempt = 0, i = 0] = path.split("-").map(Number)
    expect(sha(new Uint8Array(bytes))).toBe(sha(content(attempt * 100 + i, 300_000 + i)))
  }
  expect(await (await fetch(`${server.base}/artifacts?path=half`)).json()).toEqual({})

  // The URLs that were signed before the first kill still work.
  for (let part = 1; part <= parts; part++) {
    if (etags.has(part)) continue
    const url = credentials[part - 1]?.url ?? ""
    const answer = await fetch(url, { method: "PUT", body: content(part, size) })
    etags.set(part, answer.headers.get("etag") ?? "")
  }
  const complete = {
    path: "big.bin",
    upload_id: created["upload_id"],
    parts: Array.from({ length: parts }, (_, i) => ({
      part_number: i + 1,
      etag: etags.get(i + 1),
    })),
  }
  // Killed while it joins the parts; asked again, it ends what it began.
  const joining = fetch(`${server.base}/mpu/complete/up`, {
    method: "POST",
    body: JSON.stringify(complete),
    headers: { "content-type": "application/json" },
  }).catch(() => undefined)
  await sleep(25)
  await server.kill()
  await joining
  server = await start(port)
  await post(`${server.base}/mpu/complete/up`, complete)
  const whole = Buffer.concat(Array.from({ length: parts }, (_, i) => content(i + 1, size)))
  const got = await (await fetch(`${server.base}/artifacts/up/big.bin`)).arrayBuffer()
  expect(sha(new Uint8Array(got))).toBe(sha(whole))
  await server.kill()

  // What the killed processes left behind is found, and nothing else is.
  const blobs = join(folder, "blobs/blobs")
  for (const entry of readdirSync(blobs, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) utimesSync(join(entry.parentPath, entry.name), new Date(0), new Date(0))
  }
  const environment = Artifacts.layer.pipe(
    Layer.provide([
      Sqlite.layer({ file: join(folder, "registry.sqlite") }),
      Fs.layer({ directory: join(folder, "blobs") }),
    ]),
  )
  const collecting = Effect.gen(function* () {
    const artifacts = yield* Artifacts.Artifacts
    yield* artifacts.collect()
    const again = yield* artifacts.collect()
    expect(again).toMatchObject({ blobs: 0, orphans: 0, uploads: 0 })
    for (const [path, digest] of acknowledged) {
      expect((yield* artifacts.get(path)).digest).toBe(`sha256:${digest}`)
    }
    return (yield* artifacts.list("f")).items.length + 1
  })
  const files = await Effect.runPromise(Effect.provide(collecting, environment))
  const left = readdirSync(blobs, { recursive: true, withFileTypes: true })
  expect(left.filter((entry) => entry.isFile())).toHaveLength(files)
}, 120_000)
