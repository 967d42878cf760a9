/** `ashlar-registry transfer`: moves experiments, runs, files and models. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { RegistryError, invalid } from "../../RegistryError.ts"
import * as Transfer from "../../Transfer.ts"

/** What the command line gave. */
export interface TransferArguments {
  readonly from?: string | undefined
  readonly to?: string | undefined
  readonly experiment?: ReadonlyArray<string> | undefined
  readonly "skip-files": boolean
  readonly "skip-models": boolean
  readonly "skip-verify": boolean
  readonly json: boolean
}

const serverOf = (url: string, variable: string): Transfer.RemoteOptions => {
  const token = process.env[variable]
  return { url, ...(token === undefined ? {} : { token: Redacted.make(token) }) }
}

const fromOf = (from: string): Transfer.From => {
  if (/^https?:\/\//.test(from)) return { server: serverOf(from, "ASHLAR_FROM_TOKEN") }
  return from.startsWith("wandb:")
    ? { wandb: from.slice("wandb:".length) }
    : { fileStore: from.replace(/^file:(\/\/)?/, "") }
}

const line = (name: string, { found, copied, skipped }: Transfer.Count): string =>
  `${name.padEnd(16)} ${String(found).padStart(8)} ${String(copied).padStart(8)} ${String(skipped).padStart(8)}`

/** A report as a table. */
export const reportText = (report: Transfer.Report): string =>
  [
    `${report.from} -> ${report.to}`,
    `${"".padEnd(16)}    found   copied   before`,
    line("experiments", report.experiments),
    line("runs", report.runs),
    line("logged models", report.loggedModels),
    line("models", report.models),
    line("versions", report.versions),
    line("aliases", report.aliases),
    `${report.points} points, ${report.params} parameters, ${report.tags} tags, ${report.files} files of ${report.bytes} bytes`,
    `digest of all runs: ${report.digest}`,
    ...report.differing.map((id) => `differs from what was copied: run ${id}`),
    ...report.failures.map(({ kind, id, why }) => `not copied: ${kind} ${id}: ${why}`),
  ].join("\n")

/** Copies and tells; 1 when something was not copied as it is. */
export const transfer = Effect.fnUntraced(function* (
  given: TransferArguments,
  say: (text: string) => void,
): Effect.fn.Return<number, RegistryError> {
  const { from, to, experiment } = given
  if (from === undefined) return yield* invalid("from", "--from is missing: see --help")
  if (to === undefined) return yield* invalid("to", "--to is missing: see --help")
  if (!/^https?:\/\//.test(to)) {
    return yield* invalid(
      "to",
      `--to is ${to}; give the URL of a server, such as http://127.0.0.1:5000`,
    )
  }
  let told = 0
  const report = yield* Transfer.copy({
    from: fromOf(from),
    to: serverOf(to, "MLFLOW_TRACKING_TOKEN"),
    ...(experiment === undefined ? {} : { experiments: experiment }),
    files: !given["skip-files"],
    models: !given["skip-models"],
    verify: !given["skip-verify"],
    onProgress: ({ experiment: name, runs, points, bytes }) => {
      if (name === undefined && Date.now() - told < 2000) return
      told = Date.now()
      process.stderr.write(
        name === undefined
          ? `${runs} runs, ${points} points, ${bytes} bytes\n`
          : `experiment ${name}\n`,
      )
    },
  })
  say(given.json ? JSON.stringify(report) : reportText(report))
  return report.failures.length === 0 && report.differing.length === 0 ? 0 : 1
})
