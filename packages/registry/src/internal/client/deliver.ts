/** Brings what a journal holds to the store: in order for each run, each thing once in effect. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { existsSync } from "node:fs"
import { appendFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { RegistryError, notFound } from "../../RegistryError.ts"
import { groups } from "./batches.ts"
import type { Entry, JournalFile } from "./journalFile.ts"
import { factsIn, Operation } from "./operation.ts"
import type { RunNames } from "./runNames.ts"
import { isTransient, type Transport } from "./transport.ts"

const decode = Schema.decodeUnknownOption(Operation)

interface Waiting {
  readonly entry: Entry
  readonly operation: Operation
}

/** What delivery needs. */
export interface Delivering {
  readonly directory: string
  readonly journal: JournalFile
  readonly names: RunNames
  readonly transport: Transport
  readonly concurrency: number
  /** Told of what the store refused for good. */
  readonly refused: (error: RegistryError) => void
}

/** Bytes of the journal that are delivered before its mark moves. */
const chunk = 1 << 20

const io = <A>(run: () => Promise<A>): Effect.Effect<A, RegistryError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) =>
      cause instanceof RegistryError
        ? cause
        : new RegistryError({
            reason: "Unavailable",
            message: `cannot keep the journal: ${String(cause)}`,
            cause,
          }),
  })

/** Delivers everything; fails when the store cannot be reached. Run one at a time. */
export const make = ({
  directory,
  journal,
  names,
  transport,
  concurrency,
  refused,
}: Delivering): Effect.Effect<void, RegistryError> => {
  /** Delivered, though the mark has not passed it yet. */
  const done = new Set<string>()
  const spooled = (copy: string) => join(directory, "files", copy)

  /** A refusal is kept with what was refused; only a store that is away stops delivery. */
  const settle = (
    waiting: ReadonlyArray<Waiting>,
    sending: Effect.Effect<unknown, RegistryError>,
  ): Effect.Effect<void, RegistryError> =>
    Effect.matchEffect(sending, {
      onSuccess: () => Effect.sync(() => waiting.forEach(({ entry }) => done.add(entry.key))),
      onFailure: (error) => {
        if (isTransient(error)) return Effect.fail(error)
        const lines = waiting.map(({ operation }) => {
          const { code, message } = error
          return `${JSON.stringify({ code, message, operation })}\n`
        })
        return Effect.andThen(
          io(() => appendFile(join(directory, "refused"), lines.join(""), { flush: true })),
          Effect.sync(() => {
            refused(error)
            waiting.forEach(({ entry }) => done.add(entry.key))
          }),
        )
      },
    })

  /** Whole by its checksum, so another version of this program wrote it. */
  const unreadable = ({ key, record }: Entry): Effect.Effect<void, RegistryError> => {
    const message =
      "this version cannot read the record: deliver the journal with the one that wrote it"
    const error = new RegistryError({ reason: "InvalidInput", field: "journal", message })
    const line = `${JSON.stringify({ code: error.code, message, operation: record })}\n`
    return Effect.andThen(
      io(() => appendFile(join(directory, "refused"), line, { flush: true })),
      Effect.sync(() => {
        refused(error)
        done.add(key)
      }),
    )
  }

  const start = (waiting: Waiting, operation: Extract<Operation, { op: "start" }>) =>
    settle(
      [waiting],
      Effect.gen(function* () {
        const { start: run, run: name } = operation
        const parent = run.parentRunId === undefined ? undefined : names.get(run.parentRunId)
        const { runId } = yield* transport.startRun({
          ...run,
          key: run.key ?? name,
          ...(parent === undefined ? {} : { parentRunId: parent }),
        })
        yield* io(() => names.set(name, runId))
      }),
    )

  const known = (run: string): Effect.Effect<string, RegistryError> => {
    const id = names.get(run)
    return id === undefined
      ? Effect.fail(notFound(`run ${run}, whose start was refused,`))
      : Effect.succeed(id)
  }

  const deliverRun = Effect.fnUntraced(function* (run: string, all: ReadonlyArray<Waiting>) {
    const delivery = { replay: true }
    let logs: Array<Waiting & { readonly facts: ReturnType<typeof factsIn> }> = []
    const sendLogs = Effect.fnUntraced(function* () {
      for (const { facts, items } of groups(logs, transport.merges)) {
        const send = (given: typeof facts, key: string) =>
          Effect.flatMap(known(run), (id) => transport.log(id, given, { ...delivery, key }))
        const [only] = items
        if (items.length === 1 && only !== undefined) {
          yield* settle(items, send(facts, only.entry.key))
          continue
        }
        const result = yield* Effect.result(send(facts, ""))
        if (result._tag === "Success") yield* settle(items, Effect.void)
        else if (isTransient(result.failure)) return yield* result.failure
        // One of them is wrong: the others are not to suffer for it.
        else for (const one of items) yield* settle([one], send(one.facts, one.entry.key))
      }
      logs = []
    })
    for (const waiting of all) {
      const { operation } = waiting
      if (operation.op === "log") {
        logs.push({ ...waiting, facts: factsIn(operation) })
        continue
      }
      yield* sendLogs()
      if (operation.op === "artifact") {
        const { path, copy } = operation
        const file = spooled(copy)
        yield* settle(
          [waiting],
          // A copy is removed when its delivery was noted, and not before.
          existsSync(file)
            ? Effect.flatMap(known(run), (id) =>
                transport.logArtifact(id, { path, file }, delivery),
              )
            : Effect.void,
        )
      } else if (operation.op === "finish") {
        const { status, ended } = operation
        yield* settle(
          [waiting],
          Effect.flatMap(known(run), (id) => transport.finish(id, status, ended)),
        )
      }
    }
    yield* sendLogs()
  })

  return Effect.gen(function* () {
    for (;;) {
      const entries = yield* io(() => journal.next(chunk))
      if (entries.length === 0) return
      const waiting: Array<Waiting> = []
      for (const entry of entries) {
        if (done.has(entry.key)) continue
        const operation = decode(entry.record)
        if (operation._tag === "Some") waiting.push({ entry, operation: operation.value })
        else yield* unreadable(entry)
      }
      // A run may be the parent of another.
      for (const one of waiting) {
        if (one.operation.op === "start") yield* start(one, one.operation)
      }
      yield* Effect.forEach(
        Map.groupBy(waiting, ({ operation }) => operation.run),
        ([run, all]) => deliverRun(run, all),
        { concurrency, discard: true },
      )
      yield* io(() => journal.delivered(entries))
      done.clear()
      for (const { operation } of waiting) {
        if (operation.op !== "artifact") continue
        const { copy } = operation
        yield* io(() => rm(spooled(copy), { force: true }))
      }
    }
  })
}
