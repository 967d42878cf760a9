// A workflow of 30 short steps that appends what it does to a log; its parent kills it at will.
import * as Sqlite from "@ashlar/core/sqlite"
import { Orchestrator, Workflow } from "@ashlar/orchestrator"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { appendFileSync } from "node:fs"

const [, , database = "", log = ""] = process.argv

const workflow = Workflow.make({
  name: "crash",
  version: "1",
  input: Schema.Null,
  output: Schema.Number,
  run: (_, context) =>
    Effect.gen(function* () {
      let sum = 0
      for (let i = 0; i < 30; i++) {
        sum += yield* context.step(
          { name: `step-${i}`, output: Schema.Number },
          Effect.gen(function* () {
            appendFileSync(log, `begin ${i}\n`)
            yield* Effect.sleep(30)
            return i
          }),
        )
      }
      return sum
    }),
})

const layer = Orchestrator.layer().pipe(Layer.provide(Sqlite.layer({ file: database })))

const sum = await Effect.runPromise(
  Effect.provide(
    Effect.flatMap(Orchestrator.Orchestrator, (orchestrator) =>
      orchestrator.execute(workflow, { key: "k", input: null }),
    ),
    layer,
  ),
)
appendFileSync(log, `done ${sum}\n`)
