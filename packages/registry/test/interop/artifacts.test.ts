import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3"
import type { BlobStore } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as S3 from "@ashlar/core/s3"
import * as Sqlite from "@ashlar/core/sqlite"
import { Artifacts } from "@ashlar/registry"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const python = process.env["ASHLAR_PYTHON"] ?? ""
const endpoint = process.env["ASHLAR_S3_ENDPOINT"] ?? ""
const bucket = `artifacts-${process.pid}`
const folder = mkdtempSync(join(tmpdir(), "ashlar-artifacts-client-"))

type Blobs = Layer.Layer<BlobStore.BlobStore, BlobStore.BlobStoreError>
const stores: ReadonlyArray<readonly [name: string, blobs: () => Blobs]> = [
  ["a plain disk", () => Fs.layer({ directory: join(folder, "blobs") })],
  // Where the suite of the services' servers and this one run together.
  ...(endpoint === ""
    ? []
    : [
        [
          "S3",
          () =>
            S3.layer({
              bucket,
              endpoint,
              region: "us-east-1",
              accessKeyId: "test",
              secretAccessKey: Redacted.make("test"),
            }),
        ] as const,
      ]),
]

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe.skipIf(python === "").each(stores)(
  "files by MLflow's own client on %s",
  (store, blobs) => {
    const runtime = ManagedRuntime.make(
      Layer.provide(Mlflow.services, [
        Sqlite.layer({ file: join(folder, `${store}.sqlite`) }),
        blobs(),
      ]),
    )
    let server: HttpKit.Server
    let got: Record<string, unknown> = {}

    beforeAll(async () => {
      if (store === "S3") {
        const client = new S3Client({
          endpoint,
          region: "us-east-1",
          forcePathStyle: true,
          credentials: { accessKeyId: "test", secretAccessKey: "test" },
        })
        await client.send(new CreateBucketCommand({ Bucket: bucket }))
        client.destroy()
      }
      server = await HttpKit.makeServer({
        auth: "off-on-loopback",
        register: (app) => app.register(Mlflow.plugin, { runtime }),
      })
      const script = fileURLToPath(new URL("artifacts.py", import.meta.url))
      const { stdout } = await promisify(execFile)(python, [script, server.url], {
        maxBuffer: 1 << 26,
      })
      got = JSON.parse(stdout.trim().split("\n").at(-1) ?? "")
    }, 300_000)
    afterAll(async () => {
      await server.drain()
      await runtime.dispose()
    })

    it("logs files and trees, and lists them", () => {
      expect(got).toMatchObject({
        uri: "mlflow-artifacts:",
        root: [
          ["a name with spaces & signs+.txt", false, 3],
          ["conf.json", false, expect.any(Number)],
          ["data", true, null],
          ["empty.txt", false, null],
          ["notes", true, null],
          ["tree", true, null],
        ],
        below: [1, 10, 4, 7].map((i) => [`tree/level1/file${i}.txt`, false, i > 9 ? 7 : 6]),
        "of a file": [],
        "of nothing": [],
        "by uri": 3,
      })
    })

    it("reads them back", () => {
      expect(got).toMatchObject({
        text: "späť",
        dict: { a: [1, 2] },
        same: true,
        missing: [expect.any(String), expect.stringContaining("none.txt")],
      })
      expect(got["downloaded"]).toHaveLength(17)
    })

    it("sends and fetches large files in parts", () => {
      expect(got).toMatchObject({
        parts: [1, 2, 3, 4],
        large: [["large/big.bin", false, 20_000_000]],
        "large same": true,
        "chunked same": true,
        chunks: 5,
        aborted: [expect.any(String), expect.stringContaining("the line broke")],
        "after abort": [],
      })
    })

    it("deletes trees, and stays within the run's", async () => {
      expect(got).toMatchObject({
        "after delete": ["tree/level1", "tree/level2"],
        escape: [expect.any(String), expect.stringMatching(/Invalid path|400/)],
        "escape up": [expect.any(String), expect.any(String)],
      })
      const root = await runtime.runPromise(Artifacts.Artifacts.use((one) => one.list("")))
      expect(root.items).toEqual([{ path: expect.any(String), isDirectory: true }])
    })

    it("keeps the files of logged models", () => {
      expect(got).toMatchObject({
        model: ["level0", "level1", "level2"],
        "model files": 12,
      })
    })
  },
)
