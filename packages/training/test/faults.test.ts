import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Dataset } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import { Frame, GradientBoosting } from "@ashlar/training"
import type { Trainer } from "@ashlar/training"
import * as Tfjs from "@ashlar/training/tfjs"
import { frameOf } from "./data.ts"

const refused = fileURLToPath(new URL("./fixtures/refused-category.ts", import.meta.url))
const trainers: ReadonlyArray<Trainer.Trainer> = [GradientBoosting.trainer, Tfjs.trainer]

const failure = <E>(effect: Effect.Effect<unknown, E>) => Effect.runPromise(Effect.flip(effect))

it("a refused category leaves no thread behind that keeps the process alive", () => {
  const args = ["--conditions=@ashlar/source", refused]
  const said = execFileSync(process.execPath, args, { encoding: "utf8", timeout: 30_000 })
  expect(said).toBe("code\n")
})

describe.each(trainers)("$name", (trainer) => {
  const fit = (train: Frame.Frame, options: Partial<Trainer.FitOptions> = {}) =>
    trainer.fit(train, { params: {}, seed: 1, ...options })

  it("ends with what the listener threw, and the process goes on", async () => {
    const onProgress = () => {
      throw new Error("the listener's own mistake")
    }
    const fitting = Effect.runPromise(fit(frameOf({ rows: 500 }), { onProgress }))
    await expect(fitting).rejects.toThrow("the listener's own mistake")
  })

  it("refuses validation labels it could not have learnt", async () => {
    const validation = frameOf({ rows: 100, seed: 2 })
    const label = validation.label.map((y, i) => (i === 5 ? 3 : y))
    const error = await failure(
      fit(frameOf({ rows: 500 }), { validation: { ...validation, label } }),
    )
    expect([error.code, error.field]).toEqual(["TrainingError.InvalidInput", "validation.label[5]"])
  })

  it("refuses frames whose columns have several lengths", async () => {
    const good = frameOf({ rows: 500 })
    const columns = good.columns.map((column, i) => (i === 1 ? column.slice(1) : column))
    for (const broken of [
      { ...good, columns },
      { ...good, columns: columns.slice(1) },
      { ...good, rows: 400 },
      { ...good, rows: 0, label: new Float32Array(), columns: columns.map((c) => c.slice(0, 0)) },
    ]) {
      expect((await failure(fit(broken))).field).toBe("train")
      const validation = broken
      expect((await failure(fit(good, { validation }))).field).toBe("validation")
    }
  })
})

it("a dataset that claims more rows than memory holds is TooLarge", async () => {
  const honest = Effect.runSync(
    Dataset.fromColumns({ x: Float64Array.of(1, 2), y: Float64Array.of(0, 1) }),
  )
  const lying = { ...honest, rows: 1e15 }
  const error = await failure(Frame.fromDataset(lying, { features: ["x"], label: "y" }))
  expect(error.code).toBe("TrainingError.TooLarge")
})
