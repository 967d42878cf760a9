import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Trigger } from "@ashlar/core"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import { MonitoringError } from "../src/MonitoringError.ts"
import { make, makeAlerts } from "../src/promise.ts"

describe("the Promise face", () => {
  it("records, asks, alerts, and rejects with the same errors", async () => {
    const folder = mkdtempSync(join(tmpdir(), "promise-"))
    try {
      const database = Sqlite.layer({ file: join(folder, "m.sqlite") })
      const fired: Array<string> = []
      const trigger = Layer.succeed(Trigger.Trigger, {
        fire: (event) => {
          fired.push(event.key)
          return Effect.succeed({ triggerId: "1", duplicate: false })
        },
      })
      await using monitoring = await make({ database })
      await using alerts = await makeAlerts({ database, trigger })
      await monitoring.predictions({
        model: "m",
        version: "1",
        predictionIds: ["a", "b"],
        times: Float64Array.of(1, 2),
        features: {},
        outputs: { probability: Float32Array.of(0.25, 0.75) },
      })
      await alerts.putRule({
        name: "labels",
        model: "m",
        when: { kind: "label-coverage" },
        threshold: 0.5,
        by: "day",
        minSamples: 1,
        trigger: { kind: "relabel" },
      })
      const [found] = await alerts.evaluateRules({ at: 86_400_000_000 })
      expect(found).toMatchObject({ bad: true, value: 0 })
      expect(fired).toEqual(["monitoring/labels/1970-01-01T00:00:00Z"])
      expect(await monitoring.models()).toHaveLength(1)
      await expect(monitoring.performance({ model: "x", by: "all" })).rejects.toBeInstanceOf(
        MonitoringError,
      )
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
