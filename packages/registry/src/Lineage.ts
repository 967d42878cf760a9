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
    /**
     * Runs that read or wrote a dataset, newest first; a namespace and name of more than 500
     * characters together are not found.
     */
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

/** Whether an index has room for a dataset of a run; the event is stored whatever its names. */
const fits = (run: string, { namespace, name }: OpenLineage.LineageDataset): boolean =>
  run.length <= 64 && namespace.length + name.length <= 500

const placeOf = (use: {
  readonly role: string
  readonly dataset: OpenLineage.LineageDataset
}): string => [use.role, use.dataset.namespace, use.dataset.name].join("\u0000")

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
      const run = valid.run.runId
      const job = `${valid.job.namespace}/${valid.job.name}`
      const insert = build
        .insertInto("registry_lineage")
        .values({ id: Digest.of(text), run, job, time, event: text })
        .onConflict((c) => c.column("id").doNothing())
      const uses = [
        ...(valid.inputs ?? []).map((dataset) => ({ dataset, role: "input" as const })),
        ...(valid.outputs ?? []).map((dataset) => ({ dataset, role: "output" as const })),
      ]
        .filter(({ dataset }) => fits(run, dataset))
        // One order for all writers, so that they wait for each other and do not deadlock.
        .toSorted((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1))
      yield* wrap(
        db.transaction(
          Effect.gen(function* () {
            const { rows } = yield* db.run(insert)
            if (rows === 0) return
            for (const { dataset, role } of uses) {
              const { namespace, name } = dataset
              yield* db.run(
                build
                  .insertInto("registry_lineage_use")
                  .values({ run, role, namespace, name, job, time })
                  .onConflict((c) =>
                    c.columns(["run", "role", "namespace", "name"]).doUpdateSet({ job, time }),
                  ),
              )
            }
          }),
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
          db.all(
            build
              .selectFrom("registry_lineage_use")
              .select(["run", "job", "role"])
              .where("namespace", "=", namespace)
              .where("name", "=", name)
              .orderBy("time", "desc")
              .orderBy("run")
              .orderBy("role"),
          ),
          (rows) => rows.map(({ run, job, role }) => ({ runId: run, job, role })),
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
