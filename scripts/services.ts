/**
 * The real servers of the services suite: PostgreSQL, Redis and NATS must answer already, the S3
 * server (moto) is started here on a free loopback port unless `ASHLAR_S3_ENDPOINT` names one.
 *
 * @module
 */
import { spawn } from "node:child_process"
import { connect, createServer } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { Client } from "pg"
import { prepareMoto } from "./python.ts"

/** A server the suite needs: how it is reached, and which variable moves it. */
interface Service {
  readonly name: string
  readonly variable: string
  readonly url: string
  readonly answers: (url: string) => Promise<boolean>
}

/** Sends `greeting` and reports whether the first bytes back start with `expected`. */
const tcpAnswers =
  (greeting: string, expected: string) =>
  (url: string): Promise<boolean> =>
    new Promise((resolve) => {
      const { hostname, port } = new URL(url)
      const socket = connect({ host: hostname, port: Number(port) })
      const finish = (answer: boolean) => {
        socket.destroy()
        resolve(answer)
      }
      socket.setTimeout(3_000, () => finish(false))
      socket.on("error", () => finish(false))
      socket.on("connect", () => {
        if (greeting !== "") socket.write(greeting)
      })
      socket.once("data", (data) => finish(data.toString("latin1").startsWith(expected)))
    })

const postgresAnswers = async (url: string): Promise<boolean> => {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 3_000 })
  try {
    await client.connect()
    await client.query("select 1")
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}

const required: ReadonlyArray<Service> = [
  {
    name: "PostgreSQL",
    variable: "ASHLAR_PG_URL",
    url: "postgres://postgres@127.0.0.1:5432/test",
    answers: postgresAnswers,
  },
  {
    name: "Redis",
    variable: "ASHLAR_REDIS_URL",
    url: "redis://127.0.0.1:6379",
    answers: tcpAnswers("PING\r\n", "+PONG"),
  },
  {
    name: "NATS",
    variable: "ASHLAR_NATS_URL",
    url: "nats://127.0.0.1:4222",
    answers: tcpAnswers("", "INFO "),
  },
]

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.on("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() =>
        address !== null && typeof address === "object"
          ? resolve(address.port)
          : reject(new Error("no free port")),
      )
    })
  })

const s3Answers = async (endpoint: string): Promise<boolean> => {
  try {
    return (await fetch(endpoint, { signal: AbortSignal.timeout(2_000) })).ok
  } catch {
    return false
  }
}

/** Starts moto; the returned function stops it. */
const startMoto = async (): Promise<{
  readonly endpoint: string
  readonly stop: () => Promise<void>
}> => {
  const python = prepareMoto()
  const port = await freePort()
  const endpoint = `http://127.0.0.1:${port}`
  const child = spawn(python, ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)], {
    stdio: ["ignore", "ignore", "pipe"],
  })
  let log = ""
  child.stderr.on("data", (chunk) => (log = `${log}${String(chunk)}`.slice(-4_000)))
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()))
  const deadline = Date.now() + 60_000
  while (!(await s3Answers(endpoint))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill("SIGKILL")
      throw new Error(`The S3 server (moto) did not start:\n${log}`)
    }
    await sleep(200)
  }
  return {
    endpoint,
    stop: async () => {
      child.kill("SIGTERM")
      await Promise.race([exited, sleep(5_000, undefined, { ref: false })])
      child.kill("SIGKILL")
    },
  }
}

/** What the suite is given: addresses by variable, and how to stop what was started. */
export interface Services {
  readonly env: Readonly<Record<string, string>>
  readonly stop: () => Promise<void>
}

/** The S3 server that `ASHLAR_S3_ENDPOINT` names, or one that is started. */
export const startS3 = async (): Promise<Services> => {
  const given = process.env["ASHLAR_S3_ENDPOINT"]
  if (given === undefined) {
    const moto = await startMoto()
    return { env: { ASHLAR_S3_ENDPOINT: moto.endpoint }, stop: moto.stop }
  }
  if (!(await s3Answers(given)))
    throw new Error(`The S3 server at ASHLAR_S3_ENDPOINT=${given} does not answer.`)
  return { env: { ASHLAR_S3_ENDPOINT: given }, stop: async () => undefined }
}

/**
 * Probes the servers and starts the S3 one. A missing server fails with its name; with
 * `allowMissing` its variable is left out and its tests say that they were skipped.
 */
export const startServices = async (options: {
  readonly allowMissing: boolean
}): Promise<Services> => {
  const env: Record<string, string> = {}
  const missing: Array<string> = []
  for (const service of required) {
    const url = process.env[service.variable] ?? service.url
    if (await service.answers(url)) env[service.variable] = url
    else
      missing.push(
        `${service.name} does not answer at ${new URL(url).host}: start it, or set ${service.variable}`,
      )
  }
  if (missing.length > 0 && !options.allowMissing) {
    throw new Error(
      `${missing.join("\n")}\nOn a developer's machine, --allow-missing runs the rest.`,
    )
  }
  for (const line of missing) console.warn(`MISSING ${line}`)
  const s3 = await startS3()
  return { env: { ...env, ...s3.env }, stop: s3.stop }
}
