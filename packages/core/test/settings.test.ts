import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Settings } from "@ashlar/core"

const Server = Schema.Struct({
  port: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 })),
  database: Schema.Struct({
    poolSize: Schema.Int,
    url: Schema.String,
    password: Schema.optionalKey(Schema.Literals(["a", "b"])),
  }),
  tags: Schema.Array(Schema.String),
})

let folder = ""
const file = async (name: string, text: string): Promise<string> => {
  const path = join(folder, name)
  await writeFile(path, text)
  return path
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ashlar-settings-"))
})
afterAll(() => rm(folder, { recursive: true }))

const yaml = `
port: 1000
database:
  poolSize: 4
  url: postgres://ada:lovelace@db/ml
tags: [a, b]
`

const failure = (sources: Settings.Sources): Promise<Settings.SettingsError> =>
  Effect.runPromise(Effect.flip(Settings.load(Server, sources)))

describe("Settings", () => {
  it("takes options over the environment over the file, setting by setting", async () => {
    const path = await file("a.yaml", yaml)
    const settings = await Effect.runPromise(
      Settings.load(Server, {
        options: { port: 3000 },
        env: { ASHLAR_PORT: "2000", ASHLAR_DATABASE_POOL_SIZE: "8", PORT: "1", ASHLAR_TAGS: "" },
        argv: ["serve", "--config", path],
      }),
    )
    expect(settings).toEqual({
      port: 3000,
      database: { poolSize: 8, url: "postgres://ada:lovelace@db/ml" },
      tags: ["a", "b"],
    })
  })

  it("finds the file by --config, then ASHLAR_CONFIG", async () => {
    const json = await file(
      "b.json",
      '{"port":1,"database":{"poolSize":1,"url":"json"},"tags":["j"]}',
    )
    const path = await file("c.yml", yaml)
    const url = async (sources: Settings.Sources) =>
      (await Effect.runPromise(Settings.load(Server, sources))).database.url
    const env = { ASHLAR_CONFIG: json }
    expect(await url({ env })).toBe("json")
    expect(await url({ env, argv: [`--config=${path}`] })).toContain("postgres")
    expect(await url({ env, argv: [], file: path })).toContain("postgres")
    const inline = { port: 1, database: { poolSize: 1, url: "inline" }, tags: [] }
    expect(await url({ env: { ASHLAR_CONFIG: "" }, options: inline })).toBe("inline")
  })

  it("feeds every Config through its layer", async () => {
    const sources = { env: { ASHLAR_STORE_ROOT: "/data" } }
    const root = Config.String("root").pipe(Config.nested("store"))
    expect(await Effect.runPromise(Effect.provide(root, Settings.layer(sources)))).toBe("/data")
    expect(await Effect.runPromise(Settings.load(root, sources))).toBe("/data")
  })

  it("finds a setting by the variable's name in every source", async () => {
    const pool = Config.all({
      size: Config.Int("ASHLAR_DATABASE_POOL_SIZE"),
      service: Config.String("OTEL_SERVICE_NAME").pipe(Config.withDefault("none")),
    })
    const path = await file("g.yaml", `${yaml}\nOTEL_SERVICE_NAME: not from here\n`)
    const read = (sources: Settings.Sources) => Effect.runPromise(Settings.load(pool, sources))
    expect(await read({ env: {}, file: path })).toEqual({ size: 4, service: "none" })
    const env = { ASHLAR_DATABASE_POOL_SIZE: "5", OTEL_SERVICE_NAME: "scoring" }
    expect(await read({ env, file: path })).toEqual({ size: 5, service: "scoring" })
    const options = { database: { poolSize: 6 } }
    expect((await read({ env, file: path, options })).size).toBe(6)
    const wrong = await Effect.runPromise(
      Effect.flip(Settings.load(pool, { env: {}, options: { database: { poolSize: "x" } } })),
    )
    expect(wrong.message).toContain('is "x" (option database.poolSize)')
    const missing = await Effect.runPromise(Effect.flip(Settings.load(pool, { env: {} })))
    expect(missing.message).toBe(
      "ASHLAR_DATABASE_POOL_SIZE is missing: set environment variable ASHLAR_DATABASE_POOL_SIZE",
    )
  })

  it("names the setting, its value, the rule and the source", async () => {
    const path = await file("d.yaml", yaml)
    const environment = await failure({ file: path, env: { ASHLAR_DATABASE_POOL_SIZE: "many" } })
    expect(environment).toMatchObject({ code: "SettingsError.InvalidInput" })
    expect(environment.field).toBe("database.poolSize")
    expect(environment.message).toMatch(
      /^database\.poolSize is "many" \(environment variable ASHLAR_DATABASE_POOL_SIZE\): Expected/,
    )
    const option = await failure({ file: path, env: {}, options: { port: 70_000 } })
    expect(option.message).toMatch(/^port is "70000" \(option port\): Expected .*65535/)
    const inFile = await failure({ env: {}, file: await file("e.yaml", yaml.replace("4", "x")) })
    expect(inFile.message).toContain(`(database.poolSize in ${join(folder, "e.yaml")})`)
  })

  it("shows no secret", async () => {
    const path = await file("f.yaml", yaml)
    const wrong = await failure({ file: path, env: { ASHLAR_DATABASE_PASSWORD: "hunter2" } })
    expect(wrong.message).toContain('database.password is "<redacted>"')
    expect(JSON.stringify(wrong)).not.toContain("hunter2")
    const options = { port: "postgres://ada:lovelace@db" }
    const url = await failure({ file: path, env: {}, options })
    expect(url.message).not.toContain("lovelace")
  })

  it("says where a missing setting may be set", async () => {
    const missing = await failure({ env: {}, options: { port: 1, database: { url: "" } } })
    expect(missing.message).toContain("database.poolSize is missing")
    expect(missing.message).toContain("environment variable ASHLAR_DATABASE_POOL_SIZE")
  })

  it.each([
    ["bad.yaml", "port: [1", "is not well-formed"],
    ["bad.json", "{", "is not well-formed"],
    ["list.yaml", "- 1", "must hold an object"],
    ["settings.toml", "a = 1", "must be named .json, .yaml or .yml"],
  ])("refuses the file %s", async (name, text, message) => {
    const error = await failure({ env: {}, file: await file(name, text) })
    expect(error).toMatchObject({ code: "SettingsError.InvalidInput", field: "config" })
    expect(error.message).toContain(message)
    expect(error.message).toContain(name)
  })

  it("says when the file is not there", async () => {
    const error = await failure({ env: {}, argv: ["--config", join(folder, "none.yaml")] })
    expect(error.code).toBe("SettingsError.NotFound")
  })

  it("survives a YAML bomb", async () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${["b", "c", "d", "e", "f", "g"]
      .map((name, index) => {
        const before = String.fromCodePoint(97 + index)
        return `${name}: &${name} [${Array(9).fill(`*${before}`).join(",")}]`
      })
      .join("\n")}`
    const error = await failure({ env: {}, file: await file("bomb.yaml", bomb) })
    expect(error.message).toContain("is not well-formed")
  })
})
