/**
 * What the submitter tells a supervisor, and what it hears back, as JSON files of a run.
 *
 * @module
 */
import * as Schema from "effect/Schema"

/** `order.json`: one attempt. Read by the supervisor this library started, from its own file. */
export interface RunOrder {
  /** Token that marks every process of the run. */
  readonly run: string
  readonly attempt: number
  readonly argv: ReadonlyArray<string>
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly call?: {
    readonly module: string
    readonly function: string
    readonly input: Schema.Json
  }
  readonly timeoutMs?: number
  readonly graceMs: number
  readonly memoryMb?: number
  readonly logLimitBytes: number
}

/** What a `Call` answered. */
export const Reply = Schema.Union([
  Schema.Struct({ ok: Schema.Literal(true), output: Schema.Json }),
  Schema.Struct({ ok: Schema.Literal(false), message: Schema.String }),
])

/** Schema of `end.json`. */
export const RunEnd = Schema.Struct({
  exitCode: Schema.optionalKey(Schema.Int),
  signal: Schema.optionalKey(Schema.String),
  spawnError: Schema.optionalKey(Schema.String),
  reply: Schema.optionalKey(Reply),
  /** Why it was stopped, when it was. */
  because: Schema.optionalKey(Schema.Literals(["cancelled", "timed_out", "memory"])),
  /** Processes that could not be killed. */
  left: Schema.optionalKey(Schema.Array(Schema.Int)),
  finished: Schema.Number,
})
/** How a run ended. */
export type RunEnd = typeof RunEnd.Type

/** Schema of `running.json`. */
export const RunStart = Schema.Struct({
  pid: Schema.optionalKey(Schema.Int),
  start: Schema.optionalKey(Schema.String),
  started: Schema.Number,
})
/** A run's process. */
export type RunStart = typeof RunStart.Type

/** Schema of `claim.json`: the supervisor. */
export const Claim = Schema.Struct({ pid: Schema.Int, start: Schema.String })
