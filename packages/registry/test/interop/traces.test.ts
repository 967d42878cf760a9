import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Started, startOurs } from "./differential/servers.ts"

const python = process.env["ASHLAR_PYTHON"] ?? ""

describe.skipIf(python === "")("MLflow's own client traces", () => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-mlflow-traces-"))
  let server: Started
  let got: Record<string, unknown> = {}
  beforeAll(async () => {
    server = await startOurs(folder)
    const script = fileURLToPath(new URL("traces.py", import.meta.url))
    const { stdout } = await promisify(execFile)(python, [script, server.url])
    got = JSON.parse(stdout.trim().split("\n").at(-1) ?? "")
  }, 120_000)
  afterAll(async () => {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  const refused = (code: string, text: string) => [code, expect.stringContaining(text)]
  const none = { k: null, half: null, list: null }

  it("spans, with what went in and out", () => {
    expect(got).toMatchObject({
      info: {
        state: "OK",
        preview: ['{"x": 3}', '{"y": 4, "t": "é"}'],
        tags: { "mlflow.traceName": "outer", team: "ö" },
        session: "s1",
        experiment: true,
        duration: true,
      },
      spans: [
        {
          name: "outer",
          type: "UNKNOWN",
          status: "OK",
          inputs: { x: 3 },
          outputs: { y: 4, t: "é" },
          root: true,
          more: none,
          timed: true,
          events: [],
        },
        { name: "inner", type: "TOOL", root: false, more: { half: 0.5, list: [1, "a", null] } },
      ],
      failed: ["ERROR", { name: "bad", status: "ERROR", events: ["exception"] }],
    })
    expect(JSON.stringify(got["spans"])).toContain("1152921504606847000")
  })

  it("finds, pages and is refused", () => {
    expect(got).toMatchObject({
      found: {
        all: true,
        up: true,
        error: true,
        tag: true,
        run: true,
        span: true,
        spans: [2, 1, 2],
      },
      pages: [2, 1, null],
      refused: refused("INVALID_PARAMETER_VALUE", "Invalid attribute key 'foo'"),
    })
  })

  it("tags and deletes", () => {
    expect(got).toMatchObject({
      tagged: "b",
      untagged: false,
      "no tag": refused("RESOURCE_DOES_NOT_EXIST", "No trace tag with key 'a'"),
      "no trace": refused("RESOURCE_DOES_NOT_EXIST", "'tr-nope' not found"),
      deleted: [1, 1, true],
    })
  })
})
