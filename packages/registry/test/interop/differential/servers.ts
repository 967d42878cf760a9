import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, openSync, readFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"

/** A server under comparison. */
export interface Started {
  readonly url: string
  readonly stop: () => Promise<void>
}

/** The Python of MLflow's server: `ASHLAR_MLFLOW`, or the one that `npm run test:interop` makes. */
export const oraclePython = (): string => {
  const given = process.env["ASHLAR_MLFLOW"] ?? ""
  const own = fileURLToPath(new URL("../../../../../.venv-mlflow/bin/python", import.meta.url))
  const found = given === "" ? own : given
  if (!existsSync(found)) {
    throw new Error(
      `MLflow's server is not installed at ${found}. Run "npm run test:interop" once, or set ASHLAR_MLFLOW to a Python that has mlflow 3.17.2.`,
    )
  }
  return found
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer()
    probe.on("error", reject)
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address()
      probe.close(() =>
        typeof address === "object" && address !== null
          ? resolve(address.port)
          : reject(new Error("no port is free on loopback")),
      )
    })
  })

const answers = async (url: string): Promise<boolean> => {
  try {
    return (await fetch(`${url}/health`, { signal: AbortSignal.timeout(2000) })).ok
  } catch {
    return false
  }
}

/**
 * Starts the real `mlflow server` on a new SQLite file and a new directory of artifacts, with more
 * variables in its environment if some are given.
 */
export const startMlflow = async (
  folder: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Started> => {
  const port = await freePort()
  const log = join(folder, "mlflow.log")
  mkdirSync(join(folder, "artifacts"), { recursive: true })
  const output = openSync(log, "w")
  const child = spawn(
    oraclePython(),
    [
      ..."-m mlflow server --host 127.0.0.1 --workers 1".split(" "),
      `--port=${port}`,
      `--backend-store-uri=sqlite:///${join(folder, "mlflow.db")}`,
      `--artifacts-destination=${join(folder, "artifacts")}`,
    ],
    {
      cwd: folder,
      detached: true,
      stdio: ["ignore", output, output],
      env: {
        ...process.env,
        MLFLOW_DISABLE_TELEMETRY: "true",
        DO_NOT_TRACK: "true",
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION: "false",
        ...env,
      },
    },
  )
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()))
  const kill = (signal: NodeJS.Signals): void => {
    if (child.pid === undefined || child.exitCode !== null) return
    try {
      process.kill(-child.pid, signal)
    } catch {
      // The group has ended already.
    }
  }
  const stop = async (): Promise<void> => {
    kill("SIGTERM")
    if ((await Promise.race([ended, sleep(5000, "late")])) === "late") kill("SIGKILL")
  }
  const url = `http://127.0.0.1:${port}`
  const deadline = Date.now() + 120_000
  while (!(await answers(url))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop()
      throw new Error(`"mlflow server" did not start:\n${readFileSync(log, "utf8").slice(-4000)}`)
    }
    await sleep(200)
  }
  return { url, stop }
}

/** Starts this package's plugin on a new SQLite file and a new directory of blobs. */
export const startOurs = async (folder: string): Promise<Started> => {
  process.env["ASHLAR_SECRET_REGISTRY_WEBHOOKS"] ??= "of the comparison"
  const runtime = ManagedRuntime.make(
    Mlflow.services.pipe(
      Layer.provide([
        Sqlite.layer({ file: join(folder, "registry.sqlite") }),
        Fs.layer({ directory: join(folder, "blobs") }),
      ]),
    ),
  )
  const server = await HttpKit.makeServer({
    auth: "off-on-loopback",
    register: (app) => app.register(Mlflow.plugin, { runtime }),
    drain: { onSignals: false },
  })
  return {
    url: server.url,
    stop: async () => {
      await server.drain()
      await runtime.dispose()
    },
  }
}
