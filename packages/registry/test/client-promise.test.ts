import * as Fs from "@ashlar/core/fs"
import * as Sqlite from "@ashlar/core/sqlite"
import { makeClient } from "@ashlar/registry/promise"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-client-promise-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it("tracks by promises, and closes the journal it opened", async () => {
  const open = () =>
    makeClient({
      database: Sqlite.layer({ file: join(folder, "registry.sqlite") }),
      blobs: Fs.layer({ directory: join(folder, "blobs") }),
      journal: { directory: join(folder, "journal") },
    })
  let runId = ""
  {
    await using client = await open()
    runId = (await client.startRun({ experiment: "promises" })).runId
    await client.log(runId, { metrics: [{ key: "auc", value: 0.7 }] })
    await expect(client.log(runId, { params: { "../x": 1 } })).rejects.toMatchObject({
      _tag: "RegistryError",
      reason: "InvalidInput",
    })
  }
  await using client = await open()
  await client.flush()
  expect((await client.get(runId)).metrics).toEqual({ auc: 0.7 })
  expect(await client.backlog()).toEqual({ pending: 0, refused: 0 })
})

it("refuses options that fit no store", async () => {
  await expect(makeClient({ url: "nonsense" })).rejects.toMatchObject({ field: "url" })
})
