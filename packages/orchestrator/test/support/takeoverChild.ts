/**
 * A process that works on runs of 20 steps of 80 ms and logs what it begins:
 * `node takeoverChild.ts <place as JSON> <log> <name of this process> <lease ms>`.
 */
import { appendFileSync } from "node:fs"
import { setTimeout as delay } from "node:timers/promises"
import { make, workflow } from "@ashlar/orchestrator/promise"
import * as Schema from "effect/Schema"
import { open, type Place } from "./databases.ts"

/** Steps of one run. */
export const steps = 20

/** The run the processes fight for. */
export const long = (log: (line: string) => void) =>
  workflow({
    name: "long",
    version: "1",
    input: Schema.Null,
    output: Schema.Number,
    run: async (_, { step, epoch }) => {
      let sum = 0
      for (let i = 0; i < steps; i++) {
        sum += await step({ name: `step-${i}`, output: Schema.Number }, async () => {
          log(`begin ${i} ${epoch}`)
          await delay(80)
          log(`end ${i} ${epoch}`)
          return i
        })
      }
      return sum
    },
  })

if (import.meta.main) {
  const [, , place = "", log = "", name = "", lease = ""] = process.argv
  const orchestrator = await make({
    database: open(JSON.parse(place) as Place),
    leaseMs: Number(lease),
    pollMs: 50,
  })
  await orchestrator.work({
    workflow: long((line) => appendFileSync(log, `${Date.now()} ${name} ${line}\n`)),
  })
  appendFileSync(log, `${Date.now()} ${name} ready\n`)
}
