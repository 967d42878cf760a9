import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as Digest from "../src/Digest.ts"
import * as Digester from "../src/internal/blob/Digester.ts"
import * as FileWriter from "../src/internal/blob/FileWriter.ts"

let directory = ""
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "ashlar-digest-"))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const bytes = (size: number, seed: number) =>
  Uint8Array.from({ length: size }, (_, at) => (at * 31 + seed * 7) & 255)

const write = async (name: string, chunks: ReadonlyArray<Uint8Array>) => {
  const path = join(directory, name)
  const writer = await FileWriter.make(path)
  for (const chunk of chunks) await writer.write(chunk)
  const flushed = await writer.flush()
  const stored = readFileSync(path)
  await writer.dispose()
  return { ...flushed, stored }
}

describe("a file being written", () => {
  it.each([
    ["nothing", []],
    ["a few bytes", [3]],
    ["one slot to the byte", [1 << 20]],
    ["a chunk of many slots", [(9 << 20) + 5]],
    ["odd chunks", [700_001, 1, 0, 1_300_003, 65_536, 2_999_999, 17]],
  ])("holds and digests %s", async (name, sizes) => {
    const chunks = sizes.map((size, index) => bytes(size, index))
    const all = Buffer.concat(chunks)
    const { size, digest, stored } = await write(name, chunks)
    expect(size).toBe(all.length)
    expect(digest).toBe(Digest.of(all))
    expect(stored.equals(all)).toBe(true)
  })

  it("is one of several, each with its own digest", async () => {
    const sizes = [3_000_001, 5_000_002, 2_000_003, 4_000_004]
    const written = await Promise.all(
      sizes.map((size, seed) =>
        write(`beside-${seed}`, [bytes(size, seed), bytes(size, seed + 9)]),
      ),
    )
    for (const [seed, { digest }] of written.entries()) {
      const size = sizes[seed] ?? 0
      expect(digest).toBe(Digest.of(Buffer.concat([bytes(size, seed), bytes(size, seed + 9)])))
    }
  })

  it("is left in the middle, and the next is whole", async () => {
    const writer = await FileWriter.make(join(directory, "left"))
    await writer.write(bytes(2_500_000, 1))
    await writer.dispose()
    const { digest } = await write("next", [bytes(2_500_000, 2)])
    expect(digest).toBe(Digest.of(bytes(2_500_000, 2)))
  })
})

describe("the digest thread", () => {
  it("answers questions that were dropped, so that nobody waits for ever", async () => {
    const digester = await Digester.make()
    const piece = new Uint8Array(new SharedArrayBuffer(1 << 20))
    const pending = Array.from({ length: 8 }, () => digester.update(piece))
    digester.drop()
    await Promise.all(pending)
    await expect(digester.finish()).rejects.toThrow("the digest thread ended")
  })

  it("does not keep a process alive", () => {
    const source = new URL("../src/internal/blob/Digester.ts", import.meta.url)
    const program = `
      const { make } = await import(${JSON.stringify(source.href)})
      const digester = await make()
      await digester.update(new Uint8Array(new SharedArrayBuffer(3)))
      console.log(await digester.finish())`
    const ended = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
      encoding: "utf8",
      timeout: 30_000,
    })
    expect(ended.stderr).toBe("")
    expect(ended.stdout.trim()).toBe(Digest.of(new Uint8Array(3)))
  })
})
