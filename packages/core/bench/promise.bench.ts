/** What a call through the Promise face costs over the same Effect call run as a promise. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Facade } from "@ashlar/core/promise"

class Store extends Context.Service<
  Store,
  { readonly get: (key: number) => Effect.Effect<number> }
>()("bench/Store/v1") {}

const layer = Layer.succeed(Store, {
  get: Effect.fnUntraced(function* (key: number) {
    return yield* Effect.succeed(key + 1)
  }),
})

const calls = 50_000
const rounds = 9

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

const time = async (call: (key: number) => Promise<number>): Promise<number> => {
  const start = process.hrtime.bigint()
  for (let key = 0; key < calls; key++) await call(key)
  return Number(process.hrtime.bigint() - start) / 1000 / calls
}

await using store = await Facade.make(Store, layer)
const context = await store.runtime.context()
const service = Context.get(context, Store)
const runPromise = Effect.runPromiseWith(context)
const { signal } = new AbortController()

const direct: Array<number> = []
const face: Array<number> = []
const abortable: Array<number> = []
for (let round = -1; round < rounds; round++) {
  const measured = [
    await time((key) => runPromise(service.get(key))),
    await time((key) => store.get(key)),
    await time((key) => store.get(key, { signal })),
  ] as const
  // The first round warms up.
  if (round < 0) continue
  direct.push(measured[0])
  face.push(measured[1])
  abortable.push(measured[2])
}

const report = (bench: string, values: ReadonlyArray<number>) => {
  const value = median(values) - median(direct)
  const against = `${median(direct).toFixed(2)} us for the Effect call run as a promise`
  console.log(
    JSON.stringify({
      bench,
      value: Number(value.toFixed(3)),
      unit: "us/call",
      against,
      bar: 5,
      pass: value < 5,
    }),
  )
}
report("core/promise/call", face)
report("core/promise/call-with-signal", abortable)
