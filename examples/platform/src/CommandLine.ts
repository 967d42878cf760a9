/**
 * What the server is asked to do on its command line.
 *
 * @module
 */
import { Auth, Timestamp } from "@ashlar/core"
import * as Schema from "effect/Schema"
import { parseArgs } from "node:util"

/** Settings given on the command line, and the file that holds others. */
export interface Given {
  readonly options: Readonly<Record<string, unknown>>
  readonly file?: string
}

/** What to do. */
export type Command =
  | { readonly name: "help" }
  | { readonly name: "serve"; readonly given: Given }
  | {
      readonly name: "token create"
      readonly given: Given
      readonly principal: string
      readonly scopes: ReadonlyArray<Auth.Scope>
      readonly expires?: Timestamp.Timestamp
    }
  | { readonly name: "token list"; readonly given: Given }
  | { readonly name: "token revoke"; readonly given: Given; readonly id: string }

/** The command line cannot be understood; the message says why. */
export interface Misused {
  readonly error: string
}

/** The text of `--help`. */
export const help = `Ashlar's platform server: every module behind one HTTP server.

Usage: npm run serve -- [options]
       npm run serve -- token create --principal NAME --project P --verb read|write|admin
       npm run serve -- token list
       npm run serve -- token revoke ID

Options (also in the environment, and by the same name in the file):
  --host H              address to listen on (default 127.0.0.1; ASHLAR_HOST; host)
  --port N              port, 0 for any free one (default 8080; ASHLAR_PORT; port)
  --directory D         data, models and blobs (default .ashlar/platform; ASHLAR_DIRECTORY;
                        directory)
  --definitions FILE    a module that exports \`definitions\`, the feature store's
                        (ASHLAR_DEFINITIONS; definitions)
  --no-auth             no tokens; only on a loopback address (ASHLAR_AUTH_MODE=off; auth.mode)
  --first-token-file F  write the first admin token to this new file, readable by you alone,
                        instead of printing it (ASHLAR_FIRST_TOKEN_FILE; firstTokenFile)
  --log-level L         debug, info, warn or error (default info; ASHLAR_LOG_LEVEL; logLevel)
  --config FILE         settings in JSON or YAML (ASHLAR_CONFIG)
  --help                this text

Tokens:
  --principal NAME      who the token is for
  --project P           project it is good for, or "*"; may be repeated (default "*")
  --verb V              read, write or admin; each includes the ones before (default read)
  --expires T           an instant such as 2027-01-01T00:00:00Z (default never)

Backends, by configuration alone:
  PostgreSQL            ASHLAR_PG_URL, ASHLAR_PG_SCHEMA, ASHLAR_PG_POOL_SIZE,
                        ASHLAR_PG_STATEMENT_TIMEOUT_MS (pg.url, pg.schema, ...); otherwise SQLite
                        in the directory
  S3                    ASHLAR_S3_BUCKET, ASHLAR_S3_ENDPOINT, ASHLAR_S3_REGION, ASHLAR_S3_PREFIX,
                        ASHLAR_S3_PATH_STYLE, ASHLAR_S3_ACCESS_KEY_ID,
                        ASHLAR_S3_SECRET_ACCESS_KEY (s3.bucket, ...); otherwise the directory
  OpenTelemetry         OTEL_EXPORTER_OTLP_ENDPOINT and its other variables

Exit codes: 0 stopped as asked, 1 could not start or failed, 2 wrong settings or arguments.
`

const flags = {
  host: { type: "string" },
  port: { type: "string" },
  directory: { type: "string" },
  definitions: { type: "string" },
  "no-auth": { type: "boolean" },
  "first-token-file": { type: "string" },
  "log-level": { type: "string" },
  config: { type: "string" },
  principal: { type: "string" },
  project: { type: "string", multiple: true },
  verb: { type: "string" },
  expires: { type: "string" },
  help: { type: "boolean", short: "h" },
} as const

const tokenFlags = ["principal", "project", "verb", "expires"] as const

const isScope = Schema.is(Auth.Scope)
const isVerb = Schema.is(Auth.Verb)

const parse = (argv: ReadonlyArray<string>) =>
  parseArgs({ args: [...argv], options: flags, allowPositionals: true })

type Values = ReturnType<typeof parse>["values"]

const givenOf = (values: Values): Given => {
  const options = {
    host: values.host,
    port: values.port,
    directory: values.directory,
    definitions: values.definitions,
    auth: values["no-auth"] === true ? { mode: "off" } : undefined,
    firstTokenFile: values["first-token-file"],
    logLevel: values["log-level"],
  }
  return {
    options: Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
    ...(values.config === undefined ? {} : { file: values.config }),
  }
}

const createToken = (values: Values): Command | Misused => {
  const { principal, project: projects = ["*"], verb = "read", expires } = values
  if (principal === undefined) return { error: "token create needs --principal: who it is for" }
  if (!isVerb(verb)) return { error: `--verb is ${JSON.stringify(verb)}: use read, write or admin` }
  const scopes = projects.map((project) => ({ project, verb }))
  const wrong = projects.find((project) => !isScope({ project, verb }))
  if (wrong !== undefined) {
    return { error: `--project is ${JSON.stringify(wrong)}: use a project's name, or "*"` }
  }
  const until = expires === undefined ? undefined : Timestamp.fromIso(expires)
  if (expires !== undefined && until === undefined) {
    return {
      error: `--expires is ${JSON.stringify(expires)}: use an instant such as 2027-01-01T00:00:00Z`,
    }
  }
  return {
    name: "token create",
    given: givenOf(values),
    principal,
    scopes,
    ...(until === undefined ? {} : { expires: until }),
  }
}

/** Reads the arguments after the program's name. */
export const read = (argv: ReadonlyArray<string>): Command | Misused => {
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(argv)
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
  const { values, positionals } = parsed
  if (values.help === true) return { name: "help" }
  const [noun, action, id, ...rest] = positionals
  const name = [noun, action].filter((word) => word !== undefined).join(" ")
  if (name === "token create" && id === undefined) return createToken(values)
  const stray = tokenFlags.find((flag) => values[flag] !== undefined)
  if (stray !== undefined) return { error: `--${stray} is for token create` }
  const given = givenOf(values)
  if (name === "") return { name: "serve", given }
  if (name === "token list" && id === undefined) return { name, given }
  if (name === "token revoke" && rest.length === 0) {
    return id === undefined
      ? { error: "token revoke needs the id of a token: see token list" }
      : { name, given, id }
  }
  return { error: `there is no command ${JSON.stringify(positionals.join(" "))}` }
}
