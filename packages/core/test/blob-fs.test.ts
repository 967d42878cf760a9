import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { BlobStore } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"

const writer = fileURLToPath(new URL("./fixtures/blob-writer.ts", import.meta.url))

let directory = ""
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ashlar-fs-"))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

type Service = BlobStore.BlobStore["Service"]
const run = <A, E>(use: (blobs: Service) => Effect.Effect<A, E>, options = {}) =>
  Effect.runPromise(
    Effect.provide(BlobStore.BlobStore.use(use), Fs.layer({ directory, ...options })),
  )
const codeOf = (use: (blobs: Service) => Effect.Effect<unknown, BlobStore.BlobStoreError>) =>
  run((blobs) => Effect.map(Effect.flip(use(blobs)), ({ code }) => code))
const read = (blobs: Service, key: string, verify = true) =>
  Effect.map(Stream.runCollect(blobs.get(key, { verify })), (chunks) => Buffer.concat(chunks))
const temporaries = () => readdirSync(join(directory, "tmp"))

describe("a killed writer", () => {
  it.each([40, 90, 170])(
    "leaves the old blob or the new one, whole (after %i ms)",
    async (millis) => {
      const child = spawn(process.execPath, [writer, directory, "3000000"], {
        stdio: ["ignore", "pipe", "inherit"],
      })
      let said = ""
      child.stdout.on("data", (chunk) => (said += String(chunk)))
      await once(child.stdout, "data")
      await new Promise((resolve) => setTimeout(resolve, millis))
      child.kill("SIGKILL")
      await once(child, "close")
      const acknowledged = Number(said.trim().split("\n").at(-1))
      const found = await run((blobs) => read(blobs, "key"))
      expect(found.length).toBe(3_000_000)
      expect(found.every((byte) => byte === found[0])).toBe(true)
      expect(found[0]).toBeGreaterThanOrEqual(acknowledged)
      expect(found[0]).toBeLessThanOrEqual(acknowledged + 1)
    },
  )

  it("has its temporary files removed once they are old", async () => {
    mkdirSync(join(directory, "tmp"))
    const [old, fresh] = [join(directory, "tmp", "old"), join(directory, "tmp", "fresh")]
    for (const path of [old, fresh]) writeFileSync(path, "half")
    const longAgo = Date.now() / 1000 - 2 * 86_400
    utimesSync(old, longAgo, longAgo)
    await run((blobs) => blobs.list(""))
    expect([existsSync(old), existsSync(fresh)]).toEqual([false, true])
  })
})

describe("a full disk", () => {
  it("fails with OutOfSpace and stores nothing, at a file size limit", () => {
    const script = `trap '' XFSZ; ulimit -f 1024; exec "$@"`
    const said = execFileSync(
      "/bin/sh",
      ["-c", script, "sh", process.execPath, writer, directory, "4000000", "2"],
      { encoding: "utf8" },
    )
    expect(said.trim().split("\n")).toEqual(Array(2).fill("BlobStoreError.OutOfSpace"))
    expect(temporaries()).toEqual([])
    expect(readdirSync(join(directory, "blobs"))).toEqual([])
  })

  it("fails with OutOfSpace and keeps the old blob, on a full file system", async (context) => {
    const mount = join(directory, "small")
    mkdirSync(mount)
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", mount], { stdio: "ignore" })
    } catch {
      context.skip(
        "a small tmpfs cannot be mounted here, which takes root; the size limit above can",
      )
    }
    try {
      const store = { directory: mount }
      const codes = await run(
        (blobs) =>
          Effect.gen(function* () {
            yield* blobs.put("key", new Uint8Array(5_000_000).fill(1))
            const full = yield* Effect.flip(blobs.put("key", new Uint8Array(5_000_000).fill(2)))
            const { length } = yield* read(blobs, "key")
            yield* blobs.remove("key")
            yield* blobs.put("key", new Uint8Array(5_000_000).fill(3))
            return [full.code, length, readdirSync(join(mount, "tmp")).length]
          }),
        store,
      )
      expect(codes).toEqual(["BlobStoreError.OutOfSpace", 5_000_000, 0])
    } finally {
      execFileSync("umount", [mount])
    }
  })
})

describe("symbolic links inside the store", () => {
  it("are not followed out of it", async () => {
    const outside = mkdtempSync(join(tmpdir(), "ashlar-outside-"))
    try {
      await run((blobs) => blobs.put("in/side", Buffer.from("x")))
      writeFileSync(join(outside, "@secret"), readFileSync(join(directory, "blobs/in/@side")))
      symlinkSync(outside, join(directory, "blobs", "link"))
      symlinkSync(join(outside, "@secret"), join(directory, "blobs", "in", "@file"))
      expect(await codeOf((blobs) => blobs.head("link/secret"))).toBe(
        "BlobStoreError.PermissionDenied",
      )
      expect(await codeOf((blobs) => blobs.put("link/new", Buffer.from("x")))).toBe(
        "BlobStoreError.PermissionDenied",
      )
      expect(await codeOf((blobs) => blobs.remove("link/secret"))).toBe(
        "BlobStoreError.PermissionDenied",
      )
      expect(await codeOf((blobs) => blobs.head("in/file"))).toBe("BlobStoreError.NotFound")
      const { items } = await run((blobs) => blobs.list(""))
      expect(items.map(({ key }) => key)).toEqual(["in/side"])
      expect(readdirSync(outside)).toEqual(["@secret"])
    } finally {
      rmSync(outside, { recursive: true, force: true })
    }
  })
})

describe("a damaged file", () => {
  const path = () => join(directory, "blobs", "@key")

  it("is found by verify", async () => {
    await run((blobs) => blobs.put("key", Buffer.from("content")))
    const bytes = readFileSync(path())
    bytes[0] = 0
    writeFileSync(path(), bytes)
    expect(await codeOf((blobs) => read(blobs, "key"))).toBe("BlobStoreError.Corrupt")
    expect((await run((blobs) => read(blobs, "key", false))).length).toBe(7)
  })

  it.each([0, 5, 30, 100])("is found by its trailer when cut to %i bytes", async (size) => {
    await run((blobs) => blobs.put("key", Buffer.from("content")))
    expect(statSync(path()).size).toBeGreaterThan(size)
    truncateSync(path(), size)
    expect(await codeOf((blobs) => blobs.head("key"))).toBe("BlobStoreError.Corrupt")
  })

  it("is found when it is another key's", async () => {
    await run((blobs) => blobs.put("other", Buffer.from("content")))
    writeFileSync(path(), readFileSync(join(directory, "blobs", "@other")))
    expect(await codeOf((blobs) => blobs.head("key"))).toBe("BlobStoreError.Corrupt")
  })
})

describe("a store that is opened again", () => {
  it("goes on with an upload", async () => {
    const upload = await run((blobs) => blobs.createUpload("key"))
    const parts = [
      await run((blobs) => blobs.uploadPart("key", upload, 1, Buffer.from("first "))),
      await run((blobs) => blobs.uploadPart("key", upload, 2, Buffer.from("second"))),
    ]
    const info = await run((blobs) => blobs.completeUpload("key", upload, parts))
    expect(info.size).toBe(12)
    expect((await run((blobs) => read(blobs, "key"))).toString()).toBe("first second")
    expect(readdirSync(join(directory, "uploads"))).toEqual([])
  })

  it("forgets uploads nobody touched for long", async () => {
    const upload = await run((blobs) => blobs.createUpload("key"))
    const longAgo = Date.now() / 1000 - 8 * 86_400
    utimesSync(join(directory, "uploads", upload), longAgo, longAgo)
    expect(await codeOf((blobs) => blobs.uploadPart("key", upload, 1, Buffer.from("x")))).toBe(
      "BlobStoreError.NotFound",
    )
  })
})

describe("options", () => {
  it("come from configuration", async () => {
    const layer = Fs.layerConfig({ directory: Config.String("BLOBS") })
    const put = BlobStore.BlobStore.use((blobs) => blobs.put("key", Buffer.from("x")))
    const env = ConfigProvider.fromUnknown({ BLOBS: directory })
    await Effect.runPromise(
      put.pipe(Effect.provide(layer), Effect.provideService(ConfigProvider.ConfigProvider, env)),
    )
    expect(readdirSync(join(directory, "blobs"))).toEqual(["@key"])
  })

  it("are refused when they are wrong", async () => {
    const open = (options: Fs.FsOptions) =>
      Effect.runPromise(
        Effect.flip(
          Effect.provide(
            BlobStore.BlobStore.use((blobs) => blobs.list("")),
            Fs.layer(options),
          ),
        ),
      )
    expect((await open({ directory: "" })).code).toBe("BlobStoreError.InvalidInput")
    expect((await open({ directory, leftoverAgeMs: -1 })).code).toBe("BlobStoreError.InvalidInput")
    const file = join(directory, "file")
    writeFileSync(file, "")
    expect((await open({ directory: file })).code).toBe("BlobStoreError.Unavailable")
  })
})

describe("an upload whose parts cannot be removed", () => {
  it("is complete all the same", async (context) => {
    const upload = await run((blobs) => blobs.createUpload("key"))
    const parts = [await run((blobs) => blobs.uploadPart("key", upload, 1, Buffer.from("all")))]
    const busy = join(directory, "uploads", upload, "busy")
    mkdirSync(busy)
    try {
      execFileSync("mount", ["-t", "tmpfs", "tmpfs", busy], { stdio: "ignore" })
    } catch {
      context.skip("a tmpfs cannot be mounted here, which takes root")
    }
    try {
      const { size } = await run((blobs) => blobs.completeUpload("key", upload, parts))
      expect(size).toBe(3)
      expect((await run((blobs) => read(blobs, "key"))).toString()).toBe("all")
    } finally {
      execFileSync("umount", [busy])
    }
  })
})

describe("a named pipe inside the store", () => {
  it("is told as damage, without waiting for a writer", async () => {
    await run((blobs) => blobs.list(""))
    execFileSync("mkfifo", [join(directory, "blobs", "@key")])
    expect(await codeOf((blobs) => blobs.head("key"))).toBe("BlobStoreError.Corrupt")
  })
})
