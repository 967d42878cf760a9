import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import { Progress } from "@ashlar/core"
import { Facade } from "@ashlar/core/promise"

const record = () => {
  const written: Array<string> = []
  return { written, write: (text: string) => written.push(text) }
}

const count = (rows: number, fail = false) =>
  Progress.withTask("read\u001b[2J flights", { total: rows, unit: "rows" }, (task) =>
    Effect.suspend(() => {
      for (let row = 0; row < rows; row++) task.advance()
      return fail ? Effect.fail("broken") : Effect.succeed(rows)
    }),
  )

describe("Progress", () => {
  it("tells a callback every change and how it ended", async () => {
    const events: Array<Progress.ProgressEvent> = []
    const reporting = Progress.callback((event) => events.push(event))
    expect(await Effect.runPromise(Effect.provide(count(2), reporting))).toBe(2)
    await expect(Effect.runPromise(Effect.provide(count(1, true), reporting))).rejects.toBe(
      "broken",
    )
    expect(events.map(({ done, state }) => `${done} ${state}`)).toEqual([
      "0 running",
      "1 running",
      "2 running",
      "2 succeeded",
      "0 running",
      "1 running",
      "1 failed",
    ])
    expect(events[0]).toMatchObject({ total: 2, unit: "rows" })
    expect(new Set(events.map((event) => event.id)).size).toBe(2)
  })

  it("is silent unless asked, and asks nothing of the work", async () => {
    expect(await Effect.runPromise(count(3))).toBe(3)
    expect(await Effect.runPromise(Effect.provide(count(3), Progress.silent))).toBe(3)
  })

  it("reaches a program through a Promise face whose layer has it", async () => {
    class Reader extends Context.Service<
      Reader,
      { readonly read: (rows: number) => Effect.Effect<number, string> }
    >()("test/Reader/v1") {}
    const seen: Array<number> = []
    const layer = Layer.merge(
      Layer.succeed(Reader, { read: (rows) => count(rows) }),
      Progress.callback((event) => seen.push(event.done)),
    )
    await using reader = await Facade.make(Reader, layer)
    expect(await reader.read(2)).toBe(2)
    expect(seen).toEqual([0, 1, 2, 2])
  })

  it("writes few plain lines where there is no terminal", async () => {
    const output = record()
    await Effect.runPromise(Effect.provide(count(12_345), Progress.terminal({ output })))
    expect(output.written).toHaveLength(2)
    expect(output.written[0]).toBe("read [2J flights  0%  0/12,345 rows\n")
    expect(output.written[1]).toMatch(
      /^read \[2J flights {2}100% {2}12,345\/12,345 rows {2}in [\d.]+ m?s\n$/,
    )
  })

  it("draws one bar within the width of a terminal, and leaves a line", async () => {
    const output = { ...record(), isTTY: true, columns: 40 }
    const work = Progress.withTask("train", { total: 4 }, (task) =>
      Effect.gen(function* () {
        for (let step = 1; step <= 4; step++) {
          yield* Effect.sleep("120 millis")
          task.update(step, `loss ${1 / step} ${"x".repeat(80)}`)
        }
      }),
    )
    await Effect.runPromise(Effect.provide(work, Progress.terminal({ output })))
    const frames = output.written.map((text) => text.replace("\r\u001b[2K", ""))
    expect(frames[2]).toMatch(/^train {2}\[#{12}\.{12}\]/)
    expect(Math.max(...frames.slice(0, -1).map((frame) => frame.length))).toBeLessThan(40)
    expect(frames.at(-1)).toMatch(/^train {2}100% {2}4\/4 {2}in .*\n$/)
  })

  it("draws at most ten frames a second", async () => {
    const output = { ...record(), isTTY: true }
    await Effect.runPromise(Effect.provide(count(100_000), Progress.terminal({ output })))
    expect(output.written.length).toBeLessThan(100)
  })
})
