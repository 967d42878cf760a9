/**
 * Tokens on the command line, and the first one.
 *
 * @module
 */
import { Auth, Settings, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { open } from "node:fs/promises"
import type { Command } from "./CommandLine.ts"

/** Writes to the terminal. */
export type Print = (text: string) => void

const admin = {
  principal: "admin",
  scopes: [{ project: "*", verb: "admin" }],
} as const

/** Where a token's text goes; opened before the token is made, so that none is made in vain. */
const openFile = (file: string) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () => open(file, "wx", 0o600),
      catch: (cause) =>
        new Settings.SettingsError({
          reason: "InvalidInput",
          message: `firstTokenFile is "${file}": it must be a new file in a folder that can be written (${cause instanceof Error ? cause.message : String(cause)})`,
          field: "firstTokenFile",
          cause,
        }),
    }),
    (handle) => Effect.promise(() => handle.close()),
  )

/**
 * Makes an admin token where there is none at all. It goes to the terminal, or to a file, and
 * nowhere else: never through a logger.
 */
export const first = (options: {
  readonly file: string | undefined
  readonly url: string
  readonly print: Print
}) =>
  Effect.scoped(
    Effect.gen(function* () {
      const auth = yield* Auth.Auth
      if ((yield* auth.list).length > 0) return
      const { file, print, url } = options
      const handle = file === undefined ? undefined : yield* openFile(file)
      const { token } = yield* auth.createToken(admin)
      if (handle === undefined) {
        print(
          `\nThere were no tokens, so an admin token was made. It is shown this once:\n\n  ${Redacted.value(token)}\n\n`,
        )
      } else {
        yield* Effect.promise(async () => {
          await handle.writeFile(`${Redacted.value(token)}\n`)
          await handle.sync()
        })
        print(`\nThere were no tokens, so an admin token was made. It is in ${file}.\n\n`)
      }
      print(
        `Use it:\n  export ASHLAR_TOKEN=<the token>\n  curl -H "Authorization: Bearer $ASHLAR_TOKEN" ${url}/v2/models/stats\nMake others with less power: npm run serve -- token create --principal ci --project "*" --verb read\n\n`,
      )
    }),
  )

const stateOf = ({ revoked, expires }: Auth.TokenInfo): string => {
  if (revoked !== undefined) return `revoked ${Timestamp.toIso(revoked)}`
  if (expires === undefined) return "valid"
  return `${expires <= Timestamp.now() ? "expired" : "valid until"} ${Timestamp.toIso(expires)}`
}

const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length)),
  )
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
}

/** Runs a `token` command. */
export const run = Effect.fnUntraced(function* (
  command: Extract<Command, { readonly name: `token ${string}` }>,
  print: Print,
) {
  const auth = yield* Auth.Auth
  switch (command.name) {
    case "token create": {
      const { principal, scopes, expires } = command
      const { id, token } = yield* auth.createToken({
        principal,
        scopes,
        ...(expires === undefined ? {} : { expires }),
      })
      print(`${Redacted.value(token)}\n`)
      return `Token ${id} for ${principal}. It cannot be read again; revoke it with: token revoke ${id}`
    }
    case "token list": {
      const rows = (yield* auth.list).map((token) => [
        token.id,
        token.principal,
        token.scopes.map(({ project, verb }) => `${verb}:${project}`).join(","),
        Timestamp.toIso(token.created),
        stateOf(token),
      ])
      print(`${table([["ID", "PRINCIPAL", "SCOPES", "CREATED", "STATE"], ...rows])}\n`)
      return undefined
    }
    case "token revoke": {
      yield* auth.revoke(command.id)
      return `Token ${command.id} is revoked; running servers notice within seconds.`
    }
  }
})
