import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import type { FastifyInstance } from "fastify"
import { Artifacts } from "../../Artifacts.ts"
import { common, root } from "./route.ts"

const seconds = Schema.optionalKey(
  Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3_000_000_000 })),
)

const Request = Schema.Struct({
  dryRun: Schema.optionalKey(Schema.Boolean),
  /** Contents that were touched within this time are spared; at least 60, default a day. */
  olderThanSeconds: seconds,
  /** Uploads that were not touched for so long are dropped; at least 60, default seven days. */
  uploadsOlderThanSeconds: seconds,
  /** Removes the files of what was deleted so long ago first; without it they stay. */
  purgeDeletedOlderThanSeconds: seconds,
  limit: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 }))),
})

/** Registers the collection of what nothing refers to. */
export const register = (
  app: FastifyInstance,
  runtime: ManagedRuntime.ManagedRuntime<Artifacts, unknown>,
): void => {
  HttpKit.route(app, runtime, {
    ...common,
    method: "POST",
    url: `${root}/gc`,
    operation: "registryGc",
    summary: "Removes contents that nothing refers to",
    access: { verb: "admin" },
    timeoutMs: 3_600_000,
    body: Schema.UndefinedOr(Request),
    handler: ({ body = {} }) =>
      Effect.gen(function* () {
        const artifacts = yield* Artifacts
        const { dryRun = false, limit } = body
        const purgeAfter = body.purgeDeletedOlderThanSeconds
        const purged =
          purgeAfter === undefined
            ? undefined
            : yield* artifacts.purgeDeleted({ dryRun, olderThanMs: purgeAfter * 1000 })
        const collected = yield* artifacts.collect({
          dryRun,
          ...(limit === undefined ? {} : { limit }),
          ...(body.olderThanSeconds === undefined
            ? {}
            : { olderThanMs: body.olderThanSeconds * 1000 }),
          ...(body.uploadsOlderThanSeconds === undefined
            ? {}
            : { uploadsOlderThanMs: body.uploadsOlderThanSeconds * 1000 }),
        })
        return { ...collected, ...(purged === undefined ? {} : { purged }) }
      }),
  })
}
