/**
 * What the cases of the Compute suite share.
 *
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Compute, type ComputeCapabilities } from "../../../Compute.ts"
import * as Id from "../../../Id.ts"
import type { JobSpec } from "../../../Job.ts"
import type { Case } from "../../../testing/Conformance.ts"

/** A case of the Compute suite. */
export type ComputeCase = Case<Compute, ComputeCapabilities>

type Service = Compute["Service"]
type Rest = Partial<Omit<JobSpec, "task">>

const module = new URL(
  import.meta.url.endsWith(".ts") ? "./calls.ts" : "./calls.js",
  import.meta.url,
).href

/** A job that calls one of the suite's functions. */
export const call = (name: string, input: Schema.Json = null, rest: Rest = {}): JobSpec => ({
  id: Id.make(),
  name,
  graceMs: 200,
  ...rest,
  task: { _tag: "Call", module, function: name, input },
})

/** A job that runs a JavaScript text in a child process. */
export const script = (source: string, rest: Rest = {}): JobSpec => ({
  id: Id.make(),
  name: "script",
  graceMs: 200,
  ...rest,
  task: { _tag: "Command", argv: [process.execPath, "-e", source] },
})

/** Submits a job; its final status. */
export const finish = (compute: Service, job: JobSpec) =>
  Effect.andThen(compute.submit(job), compute.wait(job.id))

/** Text of a job's lines. */
export const lines = (compute: Service, id: string, follow = false) =>
  Stream.runCollect(compute.logs(id, { follow })).pipe(
    Effect.map((all) => all.map(({ stream, line }) => `${stream}: ${line}`)),
  )

/** Waits until the job's status satisfies the condition. */
export const until = (
  compute: Service,
  id: string,
  isIt: (state: string) => boolean,
): ReturnType<Service["status"]> =>
  Effect.flatMap(compute.status(id), (status) =>
    isIt(status.state)
      ? Effect.succeed(status)
      : Effect.andThen(
          Effect.sleep(20),
          Effect.suspend(() => until(compute, id, isIt)),
        ),
  )

/** Waits until a job has printed a line. */
export const printed = (compute: Service, id: string, line: string) =>
  Stream.runHead(Stream.filter(compute.logs(id, { follow: true }), (one) => one.line === line))

/** A case with a directory of its own, removed at the end. */
export const withDirectory = <E>(
  use: (compute: Service, directory: string) => Effect.Effect<unknown, E>,
): ComputeCase["run"] =>
  Effect.gen(function* () {
    const compute = yield* Compute
    const directory = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "compute-suite-"))),
      (path) => Effect.promise(() => rm(path, { recursive: true, force: true })),
    )
    yield* use(compute, directory)
  })
