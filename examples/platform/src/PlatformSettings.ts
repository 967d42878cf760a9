/**
 * What the server is set up with: options of the command line, then `ASHLAR_*`, then a file.
 *
 * @module
 */
import { Settings } from "@ashlar/core"
import * as Postgres from "@ashlar/core/postgres"
import type { S3Options } from "@ashlar/core/s3"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Tokens from "@ashlar/core/tokens"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { readFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import type { Given } from "./CommandLine.ts"

const between = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const General = Schema.Struct({
  host: Schema.optionalKey(Schema.NonEmptyString),
  port: Schema.optionalKey(between(0, 65_535)),
  directory: Schema.optionalKey(Schema.NonEmptyString),
  definitions: Schema.optionalKey(Schema.NonEmptyString),
  firstTokenFile: Schema.optionalKey(Schema.NonEmptyString),
  logLevel: Schema.optionalKey(Schema.Literals(["debug", "info", "warn", "error"])),
  auth: Schema.optionalKey(
    Schema.Struct({ mode: Schema.optionalKey(Schema.Literals(["tokens", "off"])) }),
  ),
  metrics: Schema.optionalKey(Schema.Struct({ open: Schema.optionalKey(Schema.Boolean) })),
  trustProxy: Schema.optionalKey(Schema.NonEmptyString),
  limits: Schema.optionalKey(
    Schema.Struct({
      bodyBytes: Schema.optionalKey(between(1024, 2 ** 31)),
      timeoutMs: Schema.optionalKey(between(1, 3_600_000)),
      requestsPerSecond: Schema.optionalKey(between(1, 1_000_000)),
    }),
  ),
  drain: Schema.optionalKey(
    Schema.Struct({
      readyDelayMs: Schema.optionalKey(between(0, 600_000)),
      graceMs: Schema.optionalKey(between(0, 600_000)),
    }),
  ),
})

/** Where rows are kept. */
export type DatabaseSettings =
  | { readonly kind: "sqlite"; readonly options: Sqlite.SqliteOptions }
  | { readonly kind: "postgres"; readonly options: Postgres.PostgresOptions }

/** Where blobs are kept. */
export type BlobSettings =
  | { readonly kind: "fs"; readonly directory: string }
  | { readonly kind: "s3"; readonly options: S3Options }

/** Settings of the server, complete. */
export interface PlatformSettings {
  readonly host: string
  readonly port: number
  /** Absolute. */
  readonly directory: string
  /** Absolute. */
  readonly definitions: string | undefined
  /** Absolute. */
  readonly firstTokenFile: string | undefined
  readonly logLevel: "debug" | "info" | "warn" | "error"
  readonly auth: "tokens" | "off"
  readonly openMetrics: boolean
  readonly trustProxy: string | undefined
  readonly limits: {
    readonly bodyBytes?: number
    readonly timeoutMs?: number
    readonly requestsPerSecond?: number
  }
  readonly drain: { readonly readyDelayMs?: number; readonly graceMs?: number }
  readonly database: DatabaseSettings
  readonly blobs: BlobSettings
  readonly tokens: Tokens.TokensOptions
}

const s3 = Config.all({
  bucket: Config.option(Config.NonEmptyString("ASHLAR_S3_BUCKET")),
  region: Config.option(Config.NonEmptyString("ASHLAR_S3_REGION")),
  endpoint: Config.option(Config.NonEmptyString("ASHLAR_S3_ENDPOINT")),
  pathStyle: Config.option(Config.Boolean("ASHLAR_S3_PATH_STYLE")),
  accessKeyId: Config.option(Config.NonEmptyString("ASHLAR_S3_ACCESS_KEY_ID")),
  secretAccessKey: Config.option(Config.Redacted("ASHLAR_S3_SECRET_ACCESS_KEY")),
  prefix: Config.option(Config.String("ASHLAR_S3_PREFIX")),
})

const present = <A extends Readonly<Record<string, Option.Option<unknown>>>>(options: A) =>
  Object.fromEntries(
    Object.entries(options).flatMap(([name, option]) =>
      Option.isSome(option) ? [[name, option.value]] : [],
    ),
  ) as { readonly [K in keyof A]?: Option.Option.Value<A[K]> }

const loadBlobs = Effect.fnUntraced(function* (sources: Settings.Sources, directory: string) {
  const options = present(yield* Settings.load(s3, sources))
  if (Object.keys(options).length === 0) {
    return { kind: "fs", directory: join(directory, "blobs") } as const
  }
  // Half an address is a mistake: the error names the setting that is missing.
  const bucket = yield* Settings.load(Config.NonEmptyString("ASHLAR_S3_BUCKET"), sources)
  return { kind: "s3", options: { ...options, bucket } } as const
})

const loadDatabase = Effect.fnUntraced(function* (sources: Settings.Sources, directory: string) {
  const postgres = yield* Settings.load(Postgres.config, sources)
  if (postgres.url !== undefined) return { kind: "postgres", options: postgres } as const
  const file = Config.String("ASHLAR_SQLITE_FILE").pipe(
    Config.withDefault(join(directory, "ashlar.sqlite")),
  )
  const sqlite = yield* Settings.load(Sqlite.config, sources)
  return {
    kind: "sqlite",
    options: { ...sqlite, file: yield* Settings.load(file, sources) },
  } as const
})

/** What a file may hold; the backends' settings are named in their `Config`. */
const known: Readonly<Record<string, ReadonlyArray<string> | undefined>> = {
  ...Object.fromEntries(Object.keys(General.fields).map((name) => [name, []])),
  auth: ["mode", "cacheMs"],
  metrics: ["open"],
  limits: ["bodyBytes", "timeoutMs", "requestsPerSecond"],
  drain: ["readyDelayMs", "graceMs"],
  pg: ["url", "schema", "poolSize", "statementTimeoutMs"],
  sqlite: ["file", "busyTimeoutMs", "synchronous"],
  s3: ["bucket", "region", "endpoint", "pathStyle", "accessKeyId", "secretAccessKey", "prefix"],
}

const misspelled = (path: string, names: ReadonlyArray<string>): Settings.SettingsError =>
  new Settings.SettingsError({
    reason: "InvalidInput",
    message: `${path} in the configuration file is no setting; there are ${names.join(", ")}`,
    field: path,
  })

const keysOf = (value: unknown): ReadonlyArray<string> =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? Object.keys(value) : []

/** A misspelled setting would be one that silently does nothing. The file is known to be sound. */
const checkNames = Effect.fnUntraced(function* (file: string) {
  const settings = yield* Effect.promise(async (): Promise<unknown> => {
    const [yaml, text] = await Promise.all([import("yaml"), readFile(file, "utf8")])
    return yaml.parse(text, { maxAliasCount: 100 })
  })
  for (const section of keysOf(settings)) {
    const names = Object.hasOwn(known, section) ? known[section] : undefined
    if (names === undefined) return yield* misspelled(section, Object.keys(known))
    const unknown = keysOf(Reflect.get(Object(settings), section)).find(
      (name) => !names.includes(name),
    )
    if (unknown !== undefined) return yield* misspelled(`${section}.${unknown}`, names)
  }
})

/** Reads the settings; fails with a `SettingsError` that names the one that is wrong. */
export const load = (
  given: Given,
  env: Readonly<Record<string, string | undefined>>,
): Effect.Effect<PlatformSettings, Settings.SettingsError> =>
  Effect.gen(function* () {
    const { options, file = env["ASHLAR_CONFIG"] } = given
    // A variable set to nothing is not set.
    const sources: Settings.Sources = {
      options,
      env: { ...env, ASHLAR_CONFIG: undefined },
      ...(file === undefined || file === "" ? {} : { file }),
    }
    const general = yield* Settings.load(General, sources)
    if (sources.file !== undefined) yield* checkNames(sources.file)
    const directory = resolve(general.directory ?? ".ashlar/platform")
    const absolute = (path: string | undefined) => (path === undefined ? undefined : resolve(path))
    return {
      host: general.host ?? "127.0.0.1",
      port: general.port ?? 8080,
      directory,
      definitions: absolute(general.definitions),
      firstTokenFile: absolute(general.firstTokenFile),
      logLevel: general.logLevel ?? "info",
      auth: general.auth?.mode ?? "tokens",
      openMetrics: general.metrics?.open ?? false,
      trustProxy: general.trustProxy,
      limits: general.limits ?? {},
      drain: general.drain ?? {},
      database: yield* loadDatabase(sources, directory),
      blobs: yield* loadBlobs(sources, directory),
      tokens: yield* Settings.load(Tokens.config, sources),
    }
  })
