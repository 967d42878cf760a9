import * as Schema from "effect/Schema"
import { parseArgs } from "node:util"

const Options = Schema.Struct({
  rows: Schema.FiniteFromString.check(
    Schema.isInt(),
    Schema.isBetween({ minimum: 20_000, maximum: 3_000_000 }),
  ),
  directory: Schema.NonEmptyString,
  port: Schema.FiniteFromString.check(
    Schema.isInt(),
    Schema.isBetween({ minimum: 0, maximum: 65535 }),
  ),
  fresh: Schema.Boolean,
})

/** What the example is run with. */
export type Options = typeof Options.Type

export const help = `Flight delays: the whole loop on 3 million US flights of 2001.

Usage: npm start -- [options]

  --rows N        flights to use, 20000 to 3000000, spread evenly over the half year
                  (default 3000000; env ASHLAR_ROWS)
  --directory D   where data, models and the two reports go (default .ashlar/flight-delays;
                  env ASHLAR_DIRECTORY); a run that was stopped continues from here
  --port P        port of the model server on 127.0.0.1, 0 for any free one (default 0;
                  env ASHLAR_PORT)
  --fresh         forget earlier runs in the directory
  --help          this text

Writes report.html and summary.json into the directory.
`

/** Reads options from arguments, then the environment; returns a message when they are wrong. */
export const read = (
  argv: ReadonlyArray<string>,
  env: Readonly<Record<string, string | undefined>>,
): Options | "help" | { readonly error: string } => {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        rows: { type: "string" },
        directory: { type: "string" },
        port: { type: "string" },
        fresh: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    })
    if (values.help === true) return "help"
    return Schema.decodeUnknownSync(Options)({
      rows: values.rows ?? env["ASHLAR_ROWS"] ?? "3000000",
      directory: values.directory ?? env["ASHLAR_DIRECTORY"] ?? ".ashlar/flight-delays",
      port: values.port ?? env["ASHLAR_PORT"] ?? "0",
      fresh: values.fresh ?? false,
    })
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}
