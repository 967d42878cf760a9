/**
 * Secrets from the process environment and from a folder of files, as Docker and Kubernetes mount
 * them.
 *
 * The secret `fraud-db` is the variable `ASHLAR_SECRET_FRAUD_DB`, otherwise the file `fraud-db` in
 * the folder. Names that differ only in case, `-`, `.` and `_` share a variable.
 *
 * @module
 */
import * as fs from "node:fs/promises"
import { join } from "node:path"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { isName } from "./Name.ts"
import { Secrets, SecretsError } from "./Secrets.ts"

/** Where secrets lie. */
export interface EnvOptions {
  /** Folder with a file for each secret, e.g. `/run/secrets`. Default none. */
  readonly folder?: string
  /** Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

const maxBytes = 65_536

const variableOf = (name: string): string =>
  `ASHLAR_SECRET_${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_")}`

const codeOf = (cause: unknown): unknown =>
  cause instanceof Error && "code" in cause ? cause.code : undefined

const readSecret = async (file: string): Promise<Redacted.Redacted<string> | undefined> => {
  const handle = await fs.open(file, "r")
  try {
    // Files end in a line break because editors and `echo` put it there.
    if ((await handle.stat()).size > maxBytes) return undefined
    return Redacted.make((await handle.readFile("utf8")).replace(/\r?\n$/, ""))
  } finally {
    await handle.close()
  }
}

const missing = (name: string, folder: string | undefined) =>
  new SecretsError({
    reason: "NotFound",
    message: `There is no secret '${name}'. Set ${variableOf(name)}${folder === undefined ? "" : `, or put it into the file ${join(folder, name)}`}.`,
    field: "name",
  })

const fromFile = (
  folder: string,
  name: string,
): Effect.Effect<Redacted.Redacted<string>, SecretsError> => {
  const file = join(folder, name)
  return Effect.flatMap(
    Effect.tryPromise({
      try: () => readSecret(file),
      catch: (cause) => {
        const code = codeOf(cause)
        if (code === "ENOENT") return missing(name, folder)
        const denied = code === "EACCES" || code === "EPERM"
        return new SecretsError({
          reason: denied ? "PermissionDenied" : "Unavailable",
          message: `The secret's file ${file} cannot be read (${String(code)}). Check what it is and who may read it.`,
          cause,
        })
      },
    }),
    (secret) =>
      secret === undefined
        ? Effect.fail(
            new SecretsError({
              reason: "TooLarge",
              message: `The file ${file} has more than ${maxBytes} bytes, which is no secret.`,
            }),
          )
        : Effect.succeed(secret),
  )
}

/**
 * Secrets from environment and files.
 *
 * @example
 * ```ts
 * import { Secrets } from "@ashlar/core"
 * import * as Env from "@ashlar/core/env"
 * import * as Effect from "effect/Effect"
 * import * as Redacted from "effect/Redacted"
 *
 * const program = Effect.flatMap(Secrets.Secrets, (secrets) => secrets.get("fraud-db"))
 * const layer = Env.layer({ env: { ASHLAR_SECRET_FRAUD_DB: "s3cret" } })
 *
 * Redacted.value(await Effect.runPromise(Effect.provide(program, layer))) // => "s3cret"
 * ```
 */
export const layer = (options: EnvOptions = {}): Layer.Layer<Secrets> =>
  Layer.succeed(Secrets, {
    get: (name) =>
      Effect.suspend(() => {
        if (!isName(name)) {
          return Effect.fail(
            new SecretsError({
              reason: "InvalidInput",
              message: `'${name}' is no name. A secret's name has letters, digits, '_', '.' and '-'.`,
              field: "name",
            }),
          )
        }
        const value = (options.env ?? process.env)[variableOf(name)]
        if (value !== undefined && value !== "") return Effect.succeed(Redacted.make(value))
        return options.folder === undefined
          ? Effect.fail(missing(name, undefined))
          : fromFile(options.folder, name)
      }),
  })

/** `ASHLAR_SECRETS_FOLDER` of the environment, default `/run/secrets`. */
export const config: Config.Config<EnvOptions> = Config.all({
  folder: Config.String("ASHLAR_SECRETS_FOLDER").pipe(Config.withDefault("/run/secrets")),
})

/** {@link layer} with options from configuration. */
export const layerConfig = (
  options: Config.Wrap<EnvOptions> = config,
): Layer.Layer<Secrets, Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
