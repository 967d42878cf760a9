/**
 * TensorBoard's event files: read as a stream (also while they are written), written live, imported
 * into runs.
 *
 * @module
 */
import type { RunTracker, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { createHash, randomBytes } from "node:crypto"
import * as fs from "node:fs/promises"
import { hostname } from "node:os"
import * as path from "node:path"
import * as EventFile from "./internal/eventFile.ts"
import { type Event, events, TensorBoardError, toError } from "./internal/eventReader.ts"

export type { Hparams, Scalar } from "./internal/eventFile.ts"
export { type Event, TensorBoardError } from "./internal/eventReader.ts"

/**
 * The events of a file from a byte (0, or the `end` of an event). A last record that is not whole
 * yet ends the stream without an error. Holds one record at a time; records over 16 MiB are
 * skipped. Fails with `Corrupt`, naming the byte, where a CRC does not fit.
 *
 * @example
 * ```ts
 * import { TensorBoard } from "@ashlar/registry"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const file = await Effect.runPromise(
 *   Effect.scoped(
 *     Effect.gen(function* () {
 *       const writer = yield* TensorBoard.make("logs/run-1")
 *       yield* writer.scalars([{ tag: "loss", value: 0.5 }], { step: 1 })
 *       return writer.file
 *     }),
 *   ),
 * )
 * const events = await Effect.runPromise(Stream.runCollect(TensorBoard.read(file)))
 * events.flatMap((event) => event.scalars) // => [{ tag: "loss", value: 0.5 }]
 * ```
 */
export const read = (
  file: string,
  options: { readonly from?: number } = {},
): Stream.Stream<Event, TensorBoardError> =>
  Stream.suspend(() => {
    const { from = 0 } = options
    if (!Number.isSafeInteger(from) || from < 0) {
      const message = `from is ${from}; give 0 or the end of an event`
      return Stream.fail(new TensorBoardError({ reason: "InvalidInput", message, field: "from" }))
    }
    return Stream.fromAsyncIterable(events(file, from), (cause) => toError(file, cause))
  })

/** The event files of a directory, oldest first; not those of directories below it. */
export const filesOf = (
  directory: string,
): Effect.Effect<ReadonlyArray<string>, TensorBoardError> =>
  Effect.tryPromise({
    try: async () =>
      (await fs.readdir(directory, { withFileTypes: true }))
        .filter((entry) => entry.isFile() && entry.name.includes("tfevents"))
        .map((entry) => path.join(directory, entry.name))
        .sort(),
    catch: (cause) => toError(directory, cause),
  })

/** Writes one event file. Every call is on the file when it returns. */
export interface EventWriter {
  readonly file: string
  /** Points of one step. Values are stored as 32-bit floats, as TensorBoard's own writer does. */
  readonly scalars: (
    points: ReadonlyArray<EventFile.Scalar>,
    at: { readonly step: number; readonly time?: Timestamp.Timestamp },
  ) => Effect.Effect<void, TensorBoardError>
  /** The parameters of the run, for TensorBoard's HPARAMS page. */
  readonly start: (
    params: EventFile.Hparams["params"],
    group?: string,
  ) => Effect.Effect<void, TensorBoardError>
  readonly end: (status: "SUCCESS" | "FAILURE") => Effect.Effect<void, TensorBoardError>
}

/** Starts an event file of its own in the directory, made when it is missing; closed with the scope. */
export const make = Effect.fnUntraced(function* (
  directory: string,
): Effect.fn.Return<EventWriter, TensorBoardError, Scope.Scope> {
  const seconds = () => Date.now() / 1000
  const name = `events.out.tfevents.${Math.floor(seconds())}.${hostname()}.${process.pid}.${randomBytes(4).toString("hex")}`
  const file = path.join(directory, name)
  const handle = yield* Effect.acquireRelease(
    Effect.tryPromise({
      try: async () => {
        await fs.mkdir(directory, { recursive: true })
        return fs.open(file, "ax")
      },
      catch: (cause) => toError(file, cause),
    }),
    (open) => Effect.promise(() => open.close().catch(() => undefined)),
  )
  // Writes queue up, so that records of concurrent callers never mix.
  let last: Promise<unknown> = Promise.resolve()
  const append = (records: ReadonlyArray<Uint8Array>) =>
    Effect.tryPromise({
      try: () => {
        const written = last.then(() =>
          handle.appendFile(Buffer.concat(records.map(EventFile.frame))),
        )
        last = written.catch(() => undefined)
        return written
      },
      catch: (cause) => toError(file, cause),
    }).pipe(Effect.uninterruptible)
  yield* append([EventFile.versionEvent(seconds())])
  return {
    file,
    scalars: (points, { step, time }) => {
      if (!Number.isSafeInteger(step)) {
        const message = `step is ${step}; a step is a whole number`
        return Effect.fail(new TensorBoardError({ reason: "InvalidInput", message, field: "step" }))
      }
      const wallTime = time === undefined ? seconds() : time / 1e6
      return append([EventFile.scalarEvent(wallTime, step, points)])
    },
    start: (params, group = "") => append([EventFile.startEvent(seconds(), params, group)]),
    end: (status) => append([EventFile.endEvent(seconds(), status)]),
  }
})

type Tracker = RunTracker.RunTracker["Service"]

/** The points of a batch, those of one step and time together. */
const byStep = (metrics: ReadonlyArray<RunTracker.Metric>) => {
  const groups = new Map<string, { step: number; time?: number; points: Array<EventFile.Scalar> }>()
  for (const { key, value, step = 0, time } of metrics) {
    const name = `${step} ${time ?? ""}`
    const group = groups.get(name) ?? { step, ...(time === undefined ? {} : { time }), points: [] }
    group.points.push({ tag: key, value })
    groups.set(name, group)
  }
  return groups.values()
}

/**
 * A tracker that also writes what it logs to event files, `directory/<run id>`, for a TensorBoard
 * that watches the directory. A file that cannot be written is told by a warning and does not fail
 * the run. Files close with the run or the scope.
 */
export const exportLive = Effect.fnUntraced(function* (
  tracker: Tracker,
  options: { readonly directory: string },
): Effect.fn.Return<Tracker, never, Scope.Scope> {
  const outer = yield* Effect.scope
  const writers = new Map<
    string,
    { readonly writer: EventWriter; readonly scope: Scope.Closeable }
  >()
  // One file a run: several writers to a directory confuse TensorBoard.
  const opening = yield* Semaphore.make(1)
  const open = (runId: string) =>
    Effect.gen(function* () {
      const known = writers.get(runId)
      if (known !== undefined) return known.writer
      const scope = yield* Scope.fork(outer)
      const directory = path.join(options.directory, encodeURIComponent(runId))
      const writer = yield* Effect.provideService(make(directory), Scope.Scope, scope).pipe(
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
      )
      writers.set(runId, { writer, scope })
      return writer
    }).pipe(Semaphore.withPermit(opening))
  const write = (
    runId: string,
    use: (writer: EventWriter) => Effect.Effect<void, TensorBoardError>,
  ) =>
    Effect.catch(Effect.flatMap(open(runId), use), (error) =>
      Effect.logWarning(`run ${runId} is not exported to TensorBoard: ${error.message}`),
    )
  return {
    ...tracker,
    startRun: Effect.fnUntraced(function* (start) {
      const run = yield* tracker.startRun(start)
      yield* write(run.runId, (writer) => writer.start(start.params ?? {}, run.name))
      return run
    }),
    log: Effect.fnUntraced(function* (runId, batch) {
      yield* tracker.log(runId, batch)
      if (batch.metrics === undefined || batch.metrics.length === 0) return
      const groups = byStep(batch.metrics)
      yield* write(runId, (writer) =>
        Effect.forEach(groups, ({ points, ...at }) => writer.scalars(points, at), {
          discard: true,
        }),
      )
    }),
    finishRun: Effect.fnUntraced(function* (runId, status) {
      const run = yield* tracker.finishRun(runId, status)
      yield* write(runId, (writer) => writer.end(status === "FINISHED" ? "SUCCESS" : "FAILURE"))
      const known = writers.get(runId)
      writers.delete(runId)
      if (known !== undefined) yield* Scope.close(known.scope, Exit.void)
      return run
    }),
  }
})

/** How to import. */
export interface ImportOptions {
  readonly experiment: string
  /** Idempotency key of the run; default made of the directory's and its first file's name. */
  readonly key?: string
  /** Default the directory's name. */
  readonly name?: string
  /** `false` leaves the run open, for files that are still written: import again to go on. */
  readonly finish?: boolean
}

/** What an import did. */
export interface Imported {
  readonly run: RunTracker.Run
  /** Points logged by this call; 0 when everything was there already. */
  readonly points: number
  /** Tags that are no metric key, with the key they got. */
  readonly renamed: Readonly<Record<string, string>>
}

const batchSize = 1000

/** A key that every tracker takes; one that had to change carries a digest, so that none collide. */
const keyOf = (tag: string): string => {
  const clean = tag
    .replace(/[^/\w.\- :]/g, "_")
    .replace(/^\/+/, "")
    .slice(0, 240)
  const fine = clean === tag && tag !== "" && !tag.split("/").includes("..")
  if (fine) return tag
  return `${clean.replaceAll("..", "_")}-${createHash("sha256").update(tag).digest("hex").slice(0, 8)}`
}

/** The tag that says how far a file was imported. */
const offsetTag = (file: string): string =>
  `ashlar.tensorboard.${createHash("sha256").update(path.basename(file)).digest("hex").slice(0, 16)}`

/** The tag that keeps the failure that the files tell of. */
const endTag = "ashlar.tensorboard.end"

const isEnded = (run: RunTracker.Run): boolean =>
  run.status !== "RUNNING" && run.status !== "SCHEDULED"

/**
 * Imports the scalars and hyper-parameters of a directory's event files as one run, in batches of
 * 1000 points. Every batch carries the place it was read up to, so that an import that was cut off,
 * or is called again, goes on from there and logs nothing twice.
 */
export const importRun = Effect.fnUntraced(function* (
  directory: string,
  tracker: Tracker,
  options: ImportOptions,
): Effect.fn.Return<Imported, TensorBoardError | RunTracker.RunTrackerError> {
  const files = yield* filesOf(directory)
  const [first] = files
  if (first === undefined) {
    const message = `'${directory}' has no event files: give the directory of one run`
    return yield* new TensorBoardError({ reason: "NotFound", message, field: "directory" })
  }
  const name = path.basename(path.resolve(directory))
  const started = yield* tracker.startRun({
    experiment: options.experiment,
    name: options.name ?? name,
    key: options.key ?? `tensorboard:${name}/${path.basename(first)}`,
  })
  if (isEnded(started)) return { run: started, points: 0, renamed: {} }
  const renamed = new Map<string, string>()
  let points = 0
  // The end may have been read by an earlier import that left the run open.
  let failed = started.tags[endTag] === "FAILURE"
  for (const file of files) {
    const tag = offsetTag(file)
    const from = Number(started.tags[tag] ?? 0)
    let metrics: Array<RunTracker.Metric> = []
    let params: Record<string, string | number | boolean> = {}
    const flush = Effect.fnUntraced(function* (end: number) {
      const status = failed ? { [endTag]: "FAILURE" } : {}
      const tags = { [tag]: String(end), ...status }
      yield* tracker.log(started.runId, { metrics, params, tags })
      points += metrics.length
      metrics = []
      params = {}
    })
    let end = from
    yield* Stream.runForEach(read(file, { from }), (event) => {
      end = event.end
      for (const { tag: scalar, value } of event.scalars) {
        const key = keyOf(scalar)
        if (key !== scalar) renamed.set(scalar, key)
        metrics.push({ key, value, step: event.step, time: event.time })
      }
      for (const [param, value] of Object.entries(event.hparams?.params ?? {})) {
        params[keyOf(param)] = value
      }
      failed = event.hparams?.status === undefined ? failed : event.hparams.status === "FAILURE"
      return metrics.length >= batchSize ? flush(end) : Effect.void
    })
    if (end > from) yield* flush(end)
  }
  const run =
    options.finish === false
      ? yield* tracker.getRun(started.runId)
      : yield* tracker.finishRun(started.runId, failed ? "FAILED" : "FINISHED")
  return { run, points, renamed: Object.fromEntries(renamed) }
})
