import * as Sqlite from "@ashlar/core/sqlite"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Api, openMlflow } from "../support/mlflow.ts"

const python = process.env["ASHLAR_PYTHON"] ?? ""

describe.skipIf(python === "")("MLflow's own client", () => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-mlflow-tracking-"))
  let api: Api
  let got: Record<string, unknown> = {}
  beforeAll(async () => {
    api = await openMlflow({
      database: Sqlite.layer({ file: join(folder, "registry.sqlite") }),
      blobs: join(folder, "blobs"),
    })
    const script = fileURLToPath(new URL("tracking.py", import.meta.url))
    const { stdout } = await promisify(execFile)(python, [script, api.url], {
      maxBuffer: 1 << 26,
    })
    got = JSON.parse(stdout.trim().split("\n").at(-1) ?? "")
  })
  afterAll(async () => {
    await api[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  const refused = (code: string, text: string) => [code, expect.stringContaining(text)]
  const inactive = refused("INVALID_PARAMETER_VALUE", "must be in the 'active' state")

  it("places, renames, tags, finds, deletes and restores experiments", () => {
    expect(got).toMatchObject({
      location: [true, "s3://bucket/two"],
      "no tag": refused("RESOURCE_DOES_NOT_EXIST", "No tag with name: gone"),
      tags: { team: "delay", note: "späť" },
      found: [["one"], ["second", "one"], ["Default", "one", "second"]],
      deleted: [
        "deleted",
        ["one", "Default"],
        ["second"],
        inactive,
        ["INVALID_PARAMETER_VALUE", expect.stringContaining("deleted experiment 'second'")],
      ],
      restored: "active",
    })
  })

  it("renames, untags, deletes and restores runs", () => {
    expect(got).toMatchObject({
      invented: [3, true],
      renamed: ["named", false],
      "run deleted": ["deleted", [0, 1, 1], inactive, inactive, inactive],
    })
  })

  it("tells what runs read and wrote", () => {
    expect(got).toMatchObject({
      inputs: [["flights", "abc", '{"a": "long"}', [["mlflow.data.context", "training"]]]],
      "by dataset": ["named"],
      linked: [[true], [3], [true]],
    })
  })

  it("logs and finds models", () => {
    expect(got).toMatchObject({
      model: {
        status: "READY",
        run: true,
        params: { rate: "0.1", depth: "6" },
        tags: "b",
        added: ["d", null],
        metrics: [
          ["auc", 0.95, 1],
          ["auc", 0.9, 0],
        ],
        place: true,
      },
      models: [["other", "net"], ["net"], ["other"], ["net", "other"], ["net", "other"]],
      "model page": ["other"],
      "foreign page": refused("INVALID_PARAMETER_VALUE", "page token"),
      "no model": refused("RESOURCE_DOES_NOT_EXIST", "not found"),
      "bad name": refused("INVALID_PARAMETER_VALUE", "Invalid model name ('a.b')"),
    })
  })
})
