import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { client, run, start, tokensIn, until } from "./Platform.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-commands-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const directory = (name: string): ReadonlyArray<string> => ["--directory", join(folder, name)]

const write = (name: string, text: string): string => {
  const file = join(folder, name)
  writeFileSync(file, text)
  return file
}

describe("token", () => {
  const data = directory("tokens")
  const token = (...args: ReadonlyArray<string>) => run({ args: ["token", ...args, ...data] })

  it("makes, lists and revokes tokens, also for a server that runs", async () => {
    const reader = await token("create", "--principal", "ci", "--project", "*", "--verb", "read")
    expect(reader.code, reader.stderr).toBe(0)
    const [text = ""] = tokensIn(reader.stdout)
    expect(reader.stdout).toBe(`${text}\n`)

    await using server = await start({ args: data, env: { ASHLAR_AUTH_CACHE_MS: "0" } })
    const call = client(server.url, text)
    expect((await call("/v2/models/stats")).status).toBe(200)
    // It may read, so it may not write.
    expect((await call("/monitoring/v1/predictions", { predictions: [] })).status).toBe(403)

    const projects = ["--project", "fraud", "--project", "churn"]
    const granted = ["--verb", "write", "--expires", "2100-01-01T00:00:00Z"]
    const writer = await token("create", "--principal", "etl", ...projects, ...granted)
    expect(writer.code, writer.stderr).toBe(0)
    const listed = await token("list")
    expect(listed.stdout).toMatch(/ci +read:\* +\S+ +valid\n/)
    expect(listed.stdout).toMatch(/etl +write:fraud,write:churn +\S+ +valid until 2100-01-01/)
    expect(tokensIn(listed.stdout)).toEqual([])

    const [, id = ""] = /^ash_([0-9a-f]+)_/.exec(text) ?? []
    expect(await token("revoke", id)).toMatchObject({ code: 0 })
    expect((await call("/v2/models/stats")).status).toBe(401)
    expect((await token("list")).stdout).toMatch(/ci .* revoked/)
    // There were tokens before the first start: none was made.
    expect(tokensIn(server.output.stdout)).toEqual([])
  })

  it("says what is wrong with a request for one", async () => {
    for (const [args, message] of [
      [["create"], "--principal"],
      [["create", "--principal", "ci", "--verb", "own"], "read, write or admin"],
      [["create", "--principal", "ci", "--project", "../etc"], "--project"],
      [["create", "--principal", "ci", "--expires", "soon"], "--expires"],
      [["revoke"], "token list"],
      [["revoke", "0000000000000000"], "no token"],
      [["rotate"], "no command"],
    ] as const) {
      const { code, stderr } = await token(...args)
      expect(code, stderr).toBe(2)
      expect(stderr).toContain(message)
    }
  })
})

describe("the first token", () => {
  it("goes to a file of its owner's instead, when asked for", async () => {
    const file = join(folder, "first-token")
    await using server = await start({
      args: [...directory("file"), "--first-token-file", file],
    })
    await until(
      () => server.output.stdout,
      (text) => text.includes(file),
    )
    expect(tokensIn(server.output.stdout + server.output.stderr)).toEqual([])
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const token = readFileSync(file, "utf8").trim()
    expect((await client(server.url, token)("/v2/models/stats")).status).toBe(200)
  })
})

describe("without authentication", () => {
  it("serves this machine alone", async () => {
    await using server = await start({ args: [...directory("open"), "--no-auth"] })
    expect((await client(server.url)("/v2/models/stats")).status).toBe(200)
    expect(tokensIn(server.output.stdout)).toEqual([])
    const page = await fetch(`${server.url}/v2/models/stats`, {
      headers: { origin: "https://elsewhere.example" },
    })
    expect(page.status).toBe(403)
  })

  it("listens on loopback addresses only", async () => {
    const refused = await run({ args: [...directory("bind"), "--host", "0.0.0.0", "--no-auth"] })
    expect(refused.code).toBe(2)
    expect(refused.stderr).toContain("authentication is off")
    const configured = await run({
      args: [...directory("bind"), "--host", "0.0.0.0"],
      env: { ASHLAR_AUTH_MODE: "off" },
    })
    expect(configured.code).toBe(2)
  })
})

describe("settings", () => {
  it("come from options, then the environment, then the file", async () => {
    const file = write("low.yaml", "logLevel: error\nport: 1\nauth:\n  mode: off\n")
    await using server = await start({
      args: [...directory("layers"), "--config", file],
      env: { ASHLAR_LOG_LEVEL: "debug", ASHLAR_PORT: "2" },
    })
    // port: the option 0; logLevel: the environment's; auth: the file's.
    expect(Number(new URL(server.url).port)).toBeGreaterThan(2)
    expect((await client(server.url)("/health/live")).status).toBe(200)
    await until(
      () => server.output.stderr,
      (log) => log.includes('"route":"/health/live"'),
    )
    expect((await client(server.url)("/v2/models/stats")).status).toBe(200)
  })

  const port = write("port.yaml", "port: 70000\n")
  const misspelled = write("misspelled.json", '{"limits":{"bodybytes":70000}}')
  const list = write("list.mjs", "export const definitions = [{ kind: 'table' }]\n")
  it.each<[ReadonlyArray<string>, Readonly<Record<string, string>>, string]>([
    [["--port", "eighty"], {}, 'port is "eighty" (option port)'],
    [["--prot", "80"], {}, "--prot"],
    [["--log-level", "loud"], {}, "logLevel"],
    [[], { ASHLAR_PORT: "-1" }, "environment variable ASHLAR_PORT"],
    [["--config", port], {}, `port in ${port}`],
    [["--config", misspelled], {}, "limits.bodybytes in the configuration file is no setting"],
    [["--config", join(folder, "none.yaml")], {}, "none.yaml"],
    [["--definitions", join(folder, "none.ts")], {}, "definitions"],
    [["--definitions", list], {}, "definitions[0]"],
    [[], { ASHLAR_S3_ENDPOINT: "http://127.0.0.1:1" }, "ASHLAR_S3_BUCKET"],
    [[], { ASHLAR_S3_BUCKET: "Not A Bucket" }, "bucket"],
    [[], { ASHLAR_PG_URL: "postgres://a:b@127.0.0.1:port/x" }, "url"],
  ])("that are wrong end it with 2 and are named: %j %j", async (args, env, message) => {
    const { code, stderr } = await run({ args: [...directory("wrong"), ...args], env })
    expect(code, stderr).toBe(2)
    expect(stderr).toContain(message)
  })

  it("that name what is not there end it with 1, and no password is shown", async () => {
    const { code, stderr } = await run({
      args: directory("postgres"),
      env: { ASHLAR_PG_URL: "postgres://ada:lovelace@127.0.0.1:1/ml" },
    })
    expect(code).toBe(1)
    expect(stderr).toContain("ASHLAR_PG_URL")
    expect(stderr).not.toContain("lovelace")
  })

  it("are explained by --help", async () => {
    const { code, stdout } = await run({ args: ["--help"] })
    expect(code).toBe(0)
    for (const name of ["--port", "ASHLAR_PG_URL", "ASHLAR_S3_BUCKET", "token create"]) {
      expect(stdout).toContain(name)
    }
  })
})
