import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Env from "@ashlar/core/env"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { execFile } from "node:child_process"
import { createHmac } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Received, receiver } from "../support/receiver.ts"
import { startMlflow } from "./differential/servers.ts"

const python = process.env["ASHLAR_PYTHON"] ?? ""
const oracle = process.env["ASHLAR_MLFLOW"] ?? ""

/** What the receiver got and what the client saw. */
interface Told {
  readonly seen: Readonly<Record<string, unknown>>
  readonly received: ReadonlyArray<Received>
}

/** Requests that the client's script makes happen, the two tests among them. */
const expected = 19

const drive = async (server: string): Promise<Told> => {
  await using target = await receiver()
  const script = fileURLToPath(new URL("webhooks.py", import.meta.url))
  const { stdout } = await promisify(execFile)(python, [script, server, target.url])
  await target.until(expected)
  return {
    seen: JSON.parse(stdout.trim().split("\n").at(-1) ?? ""),
    received: [...target.received],
  }
}

/** Bodies without the time, in an order that does not depend on threads. */
const bodies = ({ received }: Told): ReadonlyArray<unknown> =>
  received
    .map(({ body, path }) => {
      const { timestamp, ...rest } = JSON.parse(body)
      return JSON.stringify([path, typeof timestamp, rest])
    })
    .sort()
    .map((text) => JSON.parse(text))

const isSigned = ({ headers, body }: Received): boolean => {
  const text = `${headers["x-mlflow-delivery-id"]}.${headers["x-mlflow-timestamp"]}.${body}`
  const digest = createHmac("sha256", "s3cret").update(text).digest("base64")
  return headers["x-mlflow-signature"] === `v1,${digest}`
}

describe.skipIf(python === "" || oracle === "")("webhooks by MLflow's client", () => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-webhooks-client-"))
  const nothing: Told = { seen: {}, received: [] }
  const told = { mlflow: nothing, ours: nothing }

  beforeAll(async () => {
    const services = Mlflow.servicesWith({
      webhooks: { allowPrivateAddresses: true, allowedSchemes: ["http"] },
      secrets: Env.layer({ env: { ASHLAR_SECRET_REGISTRY_WEBHOOKS: "a key" } }),
    })
    const runtime = ManagedRuntime.make(
      Layer.provide(services, [
        Sqlite.layer({ file: join(folder, "registry.sqlite") }),
        Fs.layer({ directory: join(folder, "blobs") }),
      ]),
    )
    const server = await HttpKit.makeServer({
      auth: "off-on-loopback",
      register: (app) => app.register(Mlflow.plugin, { runtime, pages: false }),
      drain: { onSignals: false },
    })
    told.ours = await drive(server.url)
    await server.drain()
    await runtime.dispose()
    const mlflow = await startMlflow(folder, {
      MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS: "true",
      MLFLOW_WEBHOOK_ALLOWED_SCHEMES: "http",
    })
    try {
      told.mlflow = await drive(mlflow.url)
    } finally {
      await mlflow.stop()
    }
  }, 300_000)
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it("are kept, changed, tested and deleted alike", () => {
    const { id: ourId, ...ours } = told.ours.seen
    const { id: theirId, ...theirs } = told.mlflow.seen
    expect([typeof ourId, typeof theirId]).toEqual(["string", "string"])
    expect(ours).toEqual(theirs)
    expect(ours).toMatchObject({
      listed: ["everything", "other"],
      tested: [true, 200, "thanks"],
      deleted: "RESOURCE_DOES_NOT_EXIST",
    })
  })

  it("tell the same of the same events", () => {
    expect(bodies(told.ours)).toEqual(bodies(told.mlflow))
    expect(told.ours.received).toHaveLength(expected)
  })

  it("are signed alike", () => {
    for (const { received } of [told.ours, told.mlflow]) {
      const signed = received.filter(({ path }) => path !== "/other")
      expect(signed.filter((got) => !isSigned(got))).toEqual([])
      expect(signed).toHaveLength(expected - 1)
    }
  })
})
