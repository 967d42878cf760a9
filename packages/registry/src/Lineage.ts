/**
 * Stored OpenLineage events. Implements the port `LineageSink`.
 *
 * @module
 */
import {
  type BlobStore,
  type Database,
  Digest,
  LineageSink,
  OpenLineage,
  Timestamp,
} from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Store from "./internal/store.ts"
import { invalid, type RegistryError } from "./RegistryError.ts"

/** Stores and reads lineage events. */
export class Lineage extends Context.Service<
  Lineage,
  {
    /** Stores an event; the same event twice is stored once. */
    readonly emit: (event: OpenLineage.RunEvent) => Effect.Effect<void, RegistryError>
    /** Events of a run, in the order of their times. */
    readonly eventsOf: (
      runId: string,
    ) => Effect.Effect<ReadonlyArray<OpenLineage.RunEvent>, RegistryError>
    /** Runs that read or wrote a dataset, newest first. */
    readonly runsOf: (dataset: {
      readonly namespace: string
      readonly name: string
    }) => Effect.Effect<
      ReadonlyArray<{
        readonly runId: string
        readonly job: string
        readonly role: "input" | "output"
      }>,
      RegistryError
    >
  }
>()("@ashlar/registry/Lineage/v1") {}

const decode = Schema.decodeUnknownEffect(OpenLineage.RunEvent)

const make = Effect.gen(function* () {
  const { db, build, wrap } = yield* Store.make
  const parse = (text: string) => Schema.decodeUnknownSync(OpenLineage.RunEvent)(JSON.parse(text))

  return Lineage.of({
    emit: Effect.fnUntraced(function* (event) {
      const valid = yield* Effect.mapError(decode(event), (e) => invalid("event", e.message))
      const time = Timestamp.fromIso(valid.eventTime)
      if (time === undefined) {
        return yield* invalid("eventTime", `eventTime ${valid.eventTime} is not ISO 8601`)
      }
      const text = Digest.canonicalJson(valid)
      yield* wrap(
        db.run(
          build
            .insertInto("registry_lineage")
            .values({
              id: Digest.of(text),
              run: valid.run.runId,
              job: `${valid.job.namespace}/${valid.job.name}`,
              time,
              event: text,
            })
            .onConflict((c) => c.column("id").doNothing()),
        ),
      )
    }),
    eventsOf: (runId) =>
      wrap(
        Effect.map(
          db.all(
            build
              .selectFrom("registry_lineage")
              .select("event")
              .where("run", "=", runId)
              .orderBy("time")
              .orderBy("id"),
          ),
          (rows) => rows.map((row) => parse(row.event)),
        ),
      ),
    runsOf: ({ namespace, name }) =>
      wrap(
        Effect.map(
          db.all(build.selectFrom("registry_lineage").select("event").orderBy("time", "desc")),
          (rows) => {
            const seen = new Set<string>()
            return rows.flatMap((row) => {
              const event = parse(row.event)
              const job = `${event.job.namespace}/${event.job.name}`
              const uses = (list: typeof event.inputs) =>
                list?.some((d) => d.namespace === namespace && d.name === name) === true
              return (["input", "output"] as const).flatMap((role) => {
                const key = `${role} ${event.run.runId}`
                if (seen.has(key)) return []
                if (!uses(role === "input" ? event.inputs : event.outputs)) return []
                seen.add(key)
                return [{ runId: event.run.runId, job, role }]
              })
            })
          },
        ),
      ),
  })
})

/** Lineage on a Database. */
export const layer: Layer.Layer<Lineage, RegistryError, Database.Database | BlobStore.BlobStore> =
  Layer.effect(Lineage, make)

/** The port `LineageSink` on {@link Lineage}. */
export const sinkLayer: Layer.Layer<LineageSink.LineageSink, never, Lineage> = Layer.effect(
  LineageSink.LineageSink,
  Effect.map(Lineage, (lineage) =>
    LineageSink.LineageSink.of({
      emit: (event) =>
        Effect.mapError(
          lineage.emit(event),
          (error) =>
            new LineageSink.LineageSinkError({
              reason: error.reason === "InvalidInput" ? "InvalidInput" : "Unavailable",
              message: error.message,
              cause: error,
            }),
        ),
    }),
  ),
)
