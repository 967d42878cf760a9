#!/usr/bin/env node
/**
 * The command `ashlar-registry`: rebuilds runs, compares them, and moves them between stores.
 *
 * @module
 */
import type { BlobStore, Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { dirname, join } from "node:path"
import { parseArgs } from "node:util"
import * as Client from "./Client.ts"
import * as Experiments from "./Experiments.ts"
import { comparisonText } from "./internal/capture/text.ts"
import { transfer } from "./internal/cli/transfer.ts"
import { RegistryError, invalid } from "./RegistryError.ts"
import * as Reproduce from "./Reproduce.ts"
import * as Runs from "./Runs.ts"
import type { Tracking } from "./Tracking.ts"

const help = `ashlar-registry reproduce <run> --tracking <where> --into <directory>
  Rebuilds the tree a run was made from, byte for byte, and checks its digest.

  --repository <path or URL>  has the run's commit; default the one of the working directory
  --install                   npm ci from its lockfile, without running packages' scripts
  --run                       run the recorded command (somebody else's program!) and compare
  --python <program>          runs Python; default python3

ashlar-registry compare <run> <run> --tracking <where>
  Reports how metrics, parameters, datasets and environment differ; exits 1 when they do.

ashlar-registry transfer --from <where> --to <URL>
  Copies experiments, runs, files and models that are not there yet, and reads them back to compare.

  --from <where>              https://server, a directory of MLflow's file store (mlruns), or
                              wandb:<directory> of W&B's client
  --to <URL>                  a server that speaks MLflow's REST API: Ashlar's, or MLflow's own
  --experiment <name>         only this one; may be given again
  --skip-files, --skip-models, --skip-verify

Reproduce and compare:
  --tracking <where>          https://server, or a SQLite file; default $MLFLOW_TRACKING_URI
  --blobs <directory>         files of a SQLite registry; default "blobs" beside the file

All:
  --json                      print the report as JSON
  --help

The token for a server is read from $MLFLOW_TRACKING_TOKEN, that of --from from $ASHLAR_FROM_TOKEN.
`

const options = {
  tracking: { type: "string" },
  blobs: { type: "string" },
  into: { type: "string" },
  repository: { type: "string" },
  python: { type: "string" },
  install: { type: "boolean", default: false },
  run: { type: "boolean", default: false },
  from: { type: "string" },
  to: { type: "string" },
  experiment: { type: "string", multiple: true },
  "skip-files": { type: "boolean", default: false },
  "skip-models": { type: "boolean", default: false },
  "skip-verify": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const

const parsed = () => parseArgs({ options, allowPositionals: true })
type Values = ReturnType<typeof parsed>["values"]

const missing = (name: string): RegistryError => invalid(name, `--${name} is missing: see --help`)

const stores = async (
  file: string,
  blobs: string,
): Promise<Layer.Layer<Database.Database | BlobStore.BlobStore, unknown>> => {
  const [Sqlite, Fs] = await Promise.all([import("@ashlar/core/sqlite"), import("@ashlar/core/fs")])
  return Layer.merge(Sqlite.layer({ file }), Fs.layer({ directory: blobs }))
}

const trackingOf = async (values: Values): Promise<Layer.Layer<Tracking, unknown>> => {
  const where = values.tracking ?? process.env["MLFLOW_TRACKING_URI"]
  if (where === undefined) throw missing("tracking")
  if (/^https?:\/\//.test(where)) {
    const token = process.env["MLFLOW_TRACKING_TOKEN"]
    return Client.remote({
      url: where,
      ...(token === undefined ? {} : { token: Redacted.make(token) }),
    })
  }
  const file = where.replace(/^sqlite:(?:\/\/\/)?/, "")
  return Client.local().pipe(
    Layer.provide(Layer.merge(Runs.layer, Experiments.layer)),
    Layer.provide(await stores(file, values.blobs ?? join(dirname(file), "blobs"))),
  )
}

const say = (text: string): void => {
  process.stdout.write(`${text}\n`)
}

const reproduce = Effect.fnUntraced(function* (runId: string, values: Values) {
  const service = yield* Reproduce.Reproduce
  const { into, repository, python } = values
  if (into === undefined) return yield* missing("into")
  const rebuilt = yield* service.rebuild(runId, {
    into,
    ...(repository === undefined ? {} : { repository }),
  })
  const { source, missing: left } = rebuilt
  if (!values.json) {
    say(`Rebuilt ${source.tree.files} files in ${rebuilt.directory} (${source.tree.digest})`)
    for (const { path, reason } of left) say(`Not stored: ${path}: ${reason}`)
  }
  if (values.install)
    yield* service.install(rebuilt, { output: values.json ? "ignore" : "inherit" })
  if (!values.run) {
    if (values.json) say(JSON.stringify(rebuilt))
    else say(`Not run; its command: ${[source.runtime.name, ...source.command].join(" ")}`)
    return 0
  }
  const result = yield* service.rerun(rebuilt, {
    output: values.json ? "ignore" : "inherit",
    ...(python === undefined ? {} : { python }),
  })
  if (values.json) say(JSON.stringify(result))
  else if (result.comparison !== undefined) say(comparisonText(result.comparison))
  else say(`It ended with ${result.exitCode} and recorded no run to compare`)
  return result.exitCode === 0 && result.comparison?.identical !== false ? 0 : 1
})

const compare = Effect.fnUntraced(function* (a: string, b: string, values: Values) {
  const service = yield* Reproduce.Reproduce
  const report = yield* service.compare(a, b)
  say(values.json ? JSON.stringify(report) : comparisonText(report))
  return report.identical ? 0 : 1
})

const failed = (error: unknown): number => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  return 1
}

const main = async (): Promise<number> => {
  let given: ReturnType<typeof parsed>
  try {
    given = parsed()
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${help}`)
    return 2
  }
  const { values, positionals } = given
  const [command, first, second] = positionals
  if (values.help) {
    say(help)
    return 0
  }
  if (command === "transfer" && first === undefined) {
    return await Effect.runPromise(transfer(values, say)).catch(failed)
  }
  const work =
    command === "reproduce" && first !== undefined
      ? reproduce(first, values)
      : command === "compare" && first !== undefined && second !== undefined
        ? compare(first, second, values)
        : undefined
  if (work === undefined) {
    process.stderr.write(help)
    return 2
  }
  try {
    const layer = Layer.provide(Reproduce.layer, await trackingOf(values))
    return await Effect.runPromise(Effect.provide(work, layer))
  } catch (error) {
    return failed(error)
  }
}

process.exitCode = await main()
