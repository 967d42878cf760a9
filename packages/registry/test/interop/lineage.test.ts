import { Auth } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Sqlite from "@ashlar/core/sqlite"
import { Lineage } from "@ashlar/registry"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Effect from "effect/Effect"
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

describe.skipIf(python === "")("OpenLineage's own client", () => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-openlineage-"))
  const runtime = ManagedRuntime.make(
    Mlflow.services.pipe(
      Layer.provide([
        Sqlite.layer({ file: join(folder, "registry.sqlite") }),
        Fs.layer({ directory: join(folder, "blobs") }),
      ]),
    ),
  )
  let server: HttpKit.Server
  let got: Record<string, unknown> = {}

  beforeAll(async () => {
    server = await HttpKit.makeServer({
      auth: {
        verify: (token) =>
          Redacted.value(token) === "etl"
            ? Effect.succeed({ name: "etl", scopes: [{ project: "lake", verb: "write" as const }] })
            : Effect.fail(new Auth.AuthError({ reason: "Unauthenticated", message: "who?" })),
      },
      register: (app) => app.register(Mlflow.plugin, { runtime }),
    })
    const script = fileURLToPath(new URL("lineage.py", import.meta.url))
    const { stdout } = await promisify(execFile)(python, [script, server.url])
    got = JSON.parse(stdout.trim().split("\n").at(-1) ?? "")
  }, 120_000)
  afterAll(async () => {
    await server.drain()
    await runtime.dispose()
    rmSync(folder, { recursive: true, force: true })
  })

  it("sends events that are stored once and become lineage", async () => {
    expect(got).toEqual({
      stranger: expect.stringContaining("401"),
      nodes: [
        ["dataset", "raw/flights"],
        ["run", "airflow/features.build"],
        ["dataset", "features/flights"],
      ],
    })
    const events = await runtime.runPromise(
      Lineage.Lineage.use((lineage) => lineage.eventsOf("0190b6f0-0000-7000-8000-00000000000a")),
    )
    expect(events.map(({ eventType }) => eventType)).toEqual(["START", "COMPLETE"])
    expect(events[0]?.inputs?.[0]?.facets?.["schema"]).toMatchObject({
      fields: [{ name: "delay", type: "int" }],
    })
  })

  it("is refused with 400 and the field for what is no run event", async () => {
    for (const body of [{}, { eventType: "DONE" }, [], "x"]) {
      const answer = await fetch(`${server.url}/api/v1/lineage`, {
        method: "POST",
        headers: { authorization: "Bearer etl", "content-type": "application/json" },
        body: JSON.stringify(body),
      })
      expect(answer.status).toBe(400)
      expect(await answer.text()).toContain("InvalidInput")
    }
  })
})
