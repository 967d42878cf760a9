/**
 * Layered configuration: options in code, then the environment (`ASHLAR_*`), then a file. The same
 * setting is `database.poolSize` in options and file and `ASHLAR_DATABASE_POOL_SIZE` in the
 * environment. A key that is a variable's name already, such as `ASHLAR_DATABASE_POOL_SIZE` in a
 * backend's `layerConfig`, finds the same setting in every source; other variables (`OTEL_...`) are
 * read from the environment alone.
 *
 * @module
 */
import { readFile } from "node:fs/promises"
import { extname } from "node:path"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Str from "effect/String"
import * as Failure from "./Failure.ts"
import { redact } from "./Telemetry.ts"

/** A setting is missing or not valid, or the configuration file cannot be read. */
export class SettingsError extends Schema.TaggedError<SettingsError>()(
  "SettingsError",
  Failure.fields(["InvalidInput", "NotFound"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** Where settings come from, the first that has one winning. */
export interface Sources {
  /** Settings given in code, nested like the file. */
  readonly options?: Readonly<Record<string, unknown>>
  /** Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Command line to look for `--config <file>` in; default none. */
  readonly argv?: ReadonlyArray<string>
  /** A JSON or YAML file; default `--config`, then `ASHLAR_CONFIG`, then none. */
  readonly file?: string
}

/** One source, and what it calls a setting. */
interface Source {
  readonly provider: ConfigProvider.ConfigProvider
  /** `undefined` where the source cannot hold it. */
  readonly nameOf: (path: ReadonlyArray<string>) => string | undefined
}

const dotted = (path: ConfigProvider.Path): string => path.join(".")

const variableOf = (path: ConfigProvider.Path): string =>
  ["ASHLAR", ...path.map((segment) => Str.configCase(String(segment)))].join("_")

/** True for what is an environment variable's name already. */
const isVariable = (path: ConfigProvider.Path): boolean =>
  /^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+$/.test(String(path[0] ?? ""))

const environment = (env: Record<string, string>): Source => {
  const inner = ConfigProvider.fromEnv({ env })
  const prefixed = inner.pipe(ConfigProvider.constantCase, ConfigProvider.nested("ASHLAR"))
  return {
    provider: ConfigProvider.make((path) => (isVariable(path) ? inner : prefixed).load(path)),
    nameOf: (path) =>
      `environment variable ${isVariable(path) ? path.join("_") : variableOf(path)}`,
  }
}

/** Where each variable lies in a tree of settings. */
const variablesOf = (settings: object): ReadonlyMap<string, ConfigProvider.Path> => {
  const found = new Map<string, ConfigProvider.Path>()
  const visit = (value: unknown, path: ConfigProvider.Path): void => {
    if (path.length > 0) found.set(variableOf(path), path)
    if (typeof value !== "object" || value === null || Array.isArray(value)) return
    for (const [key, child] of Object.entries(value)) visit(child, [...path, key])
  }
  visit(settings, [])
  return found
}

const tree = (settings: object, describe: (path: ConfigProvider.Path) => string): Source => {
  const inner = ConfigProvider.fromUnknown(settings)
  const variables = variablesOf(settings)
  const locate = (path: ConfigProvider.Path): ConfigProvider.Path | undefined => {
    if (!isVariable(path)) return path
    const known = variables.get(String(path[0]))
    return known === undefined ? undefined : [...known, ...path.slice(1)]
  }
  return {
    provider: ConfigProvider.make((path) => {
      const located = locate(path)
      return located === undefined ? Effect.undefined : inner.load(located)
    }),
    nameOf: (path) => {
      const located = locate(path)
      return located === undefined ? undefined : describe(located)
    },
  }
}

const fileOf = (sources: Sources): string | undefined => {
  if (sources.file !== undefined) return sources.file
  const argv = sources.argv ?? []
  const joined = argv.find((argument) => argument.startsWith("--config="))
  if (joined !== undefined) return joined.slice("--config=".length)
  const at = argv.indexOf("--config")
  if (at >= 0) return argv[at + 1] ?? ""
  const named = (sources.env ?? process.env)["ASHLAR_CONFIG"]
  // A compose file passes on an unset variable as an empty one.
  return named === "" ? undefined : named
}

const unreadable = (file: string, why: string, cause?: unknown): SettingsError =>
  new SettingsError({
    reason: "InvalidInput",
    message: `the configuration file "${file}" ${why}`,
    field: "config",
    cause,
  })

const parse = async (file: string, text: string): Promise<unknown> => {
  if (extname(file).toLowerCase() === ".json") return JSON.parse(text) as unknown
  const yaml = await import("yaml")
  return yaml.parse(text, { maxAliasCount: 100 }) as unknown
}

const readSettings = Effect.fnUntraced(function* (file: string) {
  if (!/\.(json|ya?ml)$/i.test(file)) {
    return yield* unreadable(file, "must be named .json, .yaml or .yml")
  }
  const text = yield* Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: (cause) =>
      new SettingsError({
        reason: "NotFound",
        message: `the configuration file "${file}" cannot be read (${cause instanceof Error ? cause.message : "unknown"}); check --config and ASHLAR_CONFIG`,
        field: "config",
        cause,
      }),
  })
  const settings = yield* Effect.tryPromise({
    try: () => parse(file, text),
    catch: (cause) =>
      unreadable(
        file,
        `is not well-formed: ${cause instanceof Error ? cause.message : "unknown"}`,
        cause,
      ),
  })
  if (settings === null) return {}
  if (typeof settings !== "object" || Array.isArray(settings)) {
    return yield* unreadable(file, "must hold an object of settings")
  }
  return settings
})

const sourcesOf = Effect.fnUntraced(function* (
  sources: Sources,
): Effect.fn.Return<ReadonlyArray<Source>, SettingsError> {
  const env = Object.fromEntries(
    Object.entries(sources.env ?? process.env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== "",
    ),
  )
  const all = [tree(sources.options ?? {}, (path) => `option ${dotted(path)}`), environment(env)]
  const file = fileOf(sources)
  if (file === undefined) return all
  const settings = yield* readSettings(file)
  return [...all, tree(settings, (path) => `${dotted(path)} in ${file}`)]
})

const combine = (sources: ReadonlyArray<Source>): ConfigProvider.ConfigProvider =>
  sources
    .map((source) => source.provider)
    .reduce((first, second) => ConfigProvider.orElse(first, second))

/** Settings as Effect's `Config` reads them. */
export const provider = (
  sources: Sources = {},
): Effect.Effect<ConfigProvider.ConfigProvider, SettingsError> =>
  Effect.map(sourcesOf(sources), combine)

/** Makes every `Config` read from these sources: what the `layerConfig` of a backend needs. */
export const layer = (sources: Sources = {}): Layer.Layer<never, SettingsError> =>
  ConfigProvider.layer(provider(sources))

const formatIssues = SchemaIssue.makeFormatterStandardSchemaV1()

const segmentsOf = (path: ReadonlyArray<unknown> | undefined): ReadonlyArray<string> =>
  (path ?? []).map((segment) =>
    String(
      typeof segment === "object" && segment !== null && "key" in segment ? segment.key : segment,
    ),
  )

/** Says which setting is wrong, what it holds (secrets hidden), the rule, and where it was set. */
const explain = Effect.fnUntraced(function* (
  error: Config.ConfigError,
  sources: ReadonlyArray<Source>,
) {
  if (error.cause._tag === "SourceError") {
    return new SettingsError({
      reason: "InvalidInput",
      message: `settings cannot be read: ${error.cause.message}`,
      cause: error,
    })
  }
  const [issue] = formatIssues(error.cause.issue).issues
  const path = segmentsOf(issue?.path)
  const field = dotted(path)
  const rule = issue?.message ?? "not valid"
  for (const source of sources) {
    const node = yield* Effect.orElseSucceed(source.provider.load(path), () => undefined)
    if (node === undefined) continue
    const shown =
      node.value === undefined
        ? `a${node._tag === "Array" ? " list" : " group of settings"}`
        : JSON.stringify(redact(Str.configCase(path.at(-1) ?? ""), node.value))
    return new SettingsError({
      reason: "InvalidInput",
      message: `${field} is ${shown} (${source.nameOf(path)}): ${rule}`,
      field,
    })
  }
  const places = sources.map((source) => source.nameOf(path)).filter((name) => name !== undefined)
  return new SettingsError({
    reason: "InvalidInput",
    message: `${field} is missing: set ${places.join(", or ")}`,
    field,
  })
})

/**
 * Reads settings by a schema or a `Config`.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 * import { Settings } from "@ashlar/core"
 *
 * const Server = Schema.Struct({ host: Schema.String, port: Schema.Int })
 *
 * await Effect.runPromise(
 *   Settings.load(Server, { options: { host: "127.0.0.1" }, env: { ASHLAR_PORT: "8080" } }),
 * ) // => { host: "127.0.0.1", port: 8080 }
 * ```
 */
export const load = <A>(
  settings: Config.Config<A> | Schema.ConstraintCodec<A, unknown>,
  sources: Sources = {},
): Effect.Effect<A, SettingsError> =>
  Effect.gen(function* () {
    const all = yield* sourcesOf(sources)
    const config = Config.isConfig(settings) ? settings : Config.schema(settings)
    return yield* Effect.catch(config.parse(combine(all)), (error) =>
      Effect.flatMap(explain(error, all), Effect.fail),
    )
  })
