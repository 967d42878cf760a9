/** A client that writes to a journal first: it works without the store and loses nothing. */
import { Id, Timestamp, type RunTracker } from "@ashlar/core"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { copyFile, open, readdir, rm } from "node:fs/promises"
import { join } from "node:path"
import { RegistryError, notFound } from "../../RegistryError.ts"
import type { RunRecord } from "../../Runs.ts"
import type { Shape } from "../../Tracking.ts"
import * as Files from "../files.ts"
import * as Limits from "../limits.ts"
import { factsOf } from "./batches.ts"
import * as Deliver from "./deliver.ts"
import { openJournal } from "./journalFile.ts"
import { logOf, type Operation, startOf } from "./operation.ts"
import { localName, openNames } from "./runNames.ts"
import { isTransient, type Transport } from "./transport.ts"

/** Where the journal is. */
export interface JournalOptions {
  /** A directory of this client alone; made when it is not there. */
  readonly directory: string
  /** Most bytes that wait for delivery; beyond them `log` fails. Default 1 GiB. */
  readonly maxBytes?: number
  /** Runs that are delivered at the same time; default 4. */
  readonly concurrency?: number
  /** Wait after an attempt that failed, then twice as long each time, at most 30 s; default 500. */
  readonly backoffMs?: number
  /** How long closing may take to deliver what waits; default 5000. */
  readonly closeMs?: number
}

/** A delivery costs the disk and the store some milliseconds, however much it brings. */
const lingerMs = 25

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

/** A run as far as this client knows it. */
const recordOf = (runId: string, run: RunTracker.StartRun): RunRecord => ({
  runId,
  experimentId: "",
  name: run.name ?? runId,
  status: "RUNNING",
  started: Timestamp.now(),
  user: "",
  params: factsOf({ params: run.params ?? {} }).params,
  tags: { ...run.tags },
  metrics: {},
  latest: {},
})

/** Opens the journal and starts to deliver. */
export const make: (
  transport: Transport,
  options: JournalOptions,
) => Effect.Effect<Shape, RegistryError, Scope.Scope> = Effect.fnUntraced(
  function* (transport, options) {
    const { directory, maxBytes = 2 ** 30, concurrency = 4 } = options
    const { backoffMs = 500, closeMs = 5000 } = options
    const journal = yield* Effect.acquireRelease(
      io(() => openJournal(directory, maxBytes)),
      (opened) => Effect.promise(() => opened.close()),
    )
    const names = yield* Effect.acquireRelease(
      io(() => openNames(directory)),
      (opened) => Effect.promise(() => opened.close()),
    )
    const files = join(directory, "files")
    if (journal.size() === 0) {
      // Copies whose record a crash prevented.
      for (const left of yield* io(() => readdir(files))) yield* io(() => rm(join(files, left)))
    }

    let refusals = 0
    let unheard: RegistryError | undefined
    let failing: RegistryError | undefined
    const started = new Map<string, RunRecord>()
    const gate = yield* Semaphore.make(1)
    const wake = yield* Latch.make(journal.size() > 0)

    const delivering = Deliver.make({
      directory,
      journal,
      names,
      transport,
      concurrency,
      refused: (error) => {
        refusals += 1
        unheard = error
      },
    })
    const deliver: Effect.Effect<void, RegistryError> = gate.withPermit(
      delivering.pipe(
        Effect.tap(() =>
          Effect.sync(() => {
            failing = undefined
          }),
        ),
        Effect.tapError((error) =>
          Effect.sync(() => {
            failing = error
          }),
        ),
      ),
    )

    const loop = Effect.gen(function* () {
      let wait = backoffMs
      for (;;) {
        yield* wake.await
        // What comes together travels together.
        yield* Effect.sleep(Duration.millis(lingerMs))
        yield* wake.close
        const result = yield* Effect.result(deliver)
        if (result._tag === "Success") {
          wait = backoffMs
          continue
        }
        yield* Effect.sleep(Duration.millis(wait * (0.5 + Math.random())))
        wait = Math.min(wait * 2, 30_000)
        yield* wake.open
      }
    })
    yield* Effect.forkScoped(loop)
    // Before the journal closes, which was opened first.
    yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeoutOption(deliver, closeMs)))

    const append = (operation: Operation): Effect.Effect<void, RegistryError> =>
      Effect.andThen(
        io(() => journal.append(operation)),
        wake.open,
      )

    /** The store's id, after everything that waits was delivered. */
    const settled = Effect.fnUntraced(function* (runId: string) {
      if (journal.size() > 0) yield* deliver
      const id = names.get(runId)
      return id ?? (yield* notFound(`run ${runId}, or its start was refused: it`))
    })

    const offline =
      <A>(instead: () => Effect.Effect<A, RegistryError>) =>
      (effect: Effect.Effect<A, RegistryError>): Effect.Effect<A, RegistryError> =>
        Effect.catch(effect, (error: RegistryError) =>
          isTransient(error) ? instead() : Effect.fail(error),
        )

    const spool = Effect.fnUntraced(function* (file: string) {
      const copy = Id.make()
      yield* io(async () => {
        await copyFile(file, join(files, copy))
        const handle = await open(join(files, copy), "r+")
        try {
          await handle.sync()
        } finally {
          await handle.close()
        }
      })
      return copy
    })

    return {
      startRun: (run) =>
        Effect.gen(function* () {
          yield* Limits.batch(run)
          const parent = run.parentRunId === undefined ? undefined : names.get(run.parentRunId)
          const later = Effect.suspend(() => {
            const runId = localName(Id.make())
            const record = recordOf(runId, run)
            started.set(runId, record)
            return Effect.as(append(startOf(runId, run)), record)
          })
          if (run.parentRunId !== undefined && parent === undefined) return yield* later
          return yield* transport
            .startRun({ ...run, ...(parent === undefined ? {} : { parentRunId: parent }) })
            .pipe(offline(() => later))
        }),
      log: (runId, batch) =>
        Effect.flatMap(Limits.batch(batch), () => append(logOf(runId, factsOf(batch)))),
      logArtifact: (runId, { path, file }) =>
        Effect.gen(function* () {
          yield* Limits.path("path", path)
          for (const local of yield* Files.walk(file, path)) {
            const copy = yield* spool(local.file)
            yield* append({ op: "artifact", run: runId, path: local.path, copy })
          }
        }),
      finish: (runId, status) =>
        Effect.gen(function* () {
          const ended = Timestamp.now()
          yield* append({ op: "finish", run: runId, status, ended })
          const before = started.get(runId) ?? recordOf(runId, { experiment: "" })
          started.delete(runId)
          const known: RunRecord = { ...before, status, ended }
          return yield* Effect.flatMap(settled(runId), transport.get).pipe(
            offline(() => Effect.succeed(known)),
          )
        }),
      get: (runId) => Effect.flatMap(settled(runId), transport.get),
      find: (experiment, key) => transport.find(experiment, key),
      search: (search) => transport.search(search),
      history: (runId, metric) =>
        Effect.flatMap(settled(runId), (id) => transport.history(id, metric)),
      inputs: (runId) => Effect.flatMap(settled(runId), transport.inputs),
      artifacts: (runId) => Effect.flatMap(settled(runId), transport.artifacts),
      download: (runId, path, file, limits) =>
        Effect.flatMap(settled(runId), (id) => transport.download(id, path, file, limits)),
      flush: Effect.andThen(
        deliver,
        Effect.suspend(() => {
          const error = unheard
          unheard = undefined
          return error === undefined ? Effect.void : Effect.fail(error)
        }),
      ),
      backlog: Effect.sync(() => ({
        pending: journal.pending(),
        refused: refusals,
        ...(failing === undefined ? {} : { failing }),
      })),
    }
  },
)
