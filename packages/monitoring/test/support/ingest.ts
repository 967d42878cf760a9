/**
 * Records predictions and labels without end and tells each batch that was acknowledged; the test
 * kills it. The argument is the SQLite file.
 */
import { writeSync } from "node:fs"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Monitoring } from "../../src/index.ts"

const size = 200
const [file = ""] = process.argv.slice(2)

const ingest = Effect.gen(function* () {
  const monitoring = yield* Monitoring.Monitoring
  const record = (batch: number) =>
    Effect.gen(function* () {
      const predictionIds = Array.from({ length: size }, (_, i) => `${batch}-${i}`)
      const times = Float64Array.from({ length: size }, (_, i) => batch * 1e6 + i)
      const x = Float32Array.from({ length: size }, (_, i) => i / size)
      yield* monitoring.predictions({
        model: "m",
        version: "1",
        predictionIds,
        times,
        features: { x },
        outputs: { probability: x },
      })
      yield* monitoring.labels({
        model: "m",
        predictionIds,
        times,
        labels: x.map((p) => (p > 0.5 ? 1 : 0)),
      })
      writeSync(1, `${batch}\n`)
    })
  yield* Effect.forEach(
    Array.from({ length: 100_000 }, (_, i) => i),
    record,
    { concurrency: 8, discard: true },
  )
})

await Effect.runPromise(
  Effect.provide(ingest, Monitoring.layer().pipe(Layer.provide(Sqlite.layer({ file })))),
)
