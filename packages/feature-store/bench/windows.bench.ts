/**
 * Trailing windows over three million events, against the time it takes to read the same arrays
 * from memory. `ASHLAR_BENCH_EVENTS` sets how many events.
 */
import type { Operation } from "../src/Aggregate.ts"
import * as EventIndex from "../src/internal/eventIndex.ts"
import { groupBy, sorter } from "../src/internal/order.ts"
import * as Sweep from "../src/internal/sweep.ts"

const events = Number(process.env["ASHLAR_BENCH_EVENTS"] ?? 3_000_000)
const labels = Math.floor(events / 2.15)
const keys = 300
const hour = 3600e6

const print = (
  bench: string,
  value: number,
  unit: string,
  against: string,
  bar: string,
  pass: boolean,
) =>
  console.log(
    JSON.stringify({ bench, value: Number(value.toPrecision(4)), unit, against, bar, pass }),
  )

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

/** CPU seconds, which other programs on the machine do not lengthen. */
const cpu = <A>(run: () => A): readonly [number, A] => {
  const before = process.cpuUsage()
  const result = run()
  const { system, user } = process.cpuUsage(before)
  return [(user + system) / 1e6, result]
}

let state = 42
const random = () => (state = (state * 48271) % 2147483647) / 2147483647

const key = new Int32Array(events).map(() => Math.floor(random() * random() * keys))
const event = new Float64Array(events).map((_, i) => Math.floor((i / events) * 259_200) * 60e6)
const delay = new Float64Array(events).map(() => Math.floor(random() * random() * 200 - 20))
const created = event.map((time, i) => time + (60 + (delay[i] ?? 0) + random() * 200) * 60e6)
for (let i = 0; i < events; i++) created[i] = Math.floor(created[i] ?? 0)
const late = delay.map((x) => (x > 15 ? 1 : 0))

const windows = [6 * hour, 24 * hour, 168 * hour]
const over = (operation: Operation, column: number) =>
  windows.map((window) => ({ operation, column, window }))
const outputs = [...over("count", -1), ...over("mean", 0), ...over("rate", 1), ...over("max", 0)]

const labelKey = new Int32Array(labels).map(() => Math.floor(random() * random() * keys))
const labelTime = new Float64Array(labels).map(() => Math.floor(random() * 259_200) * 60e6)

const frame = () => {
  const index = EventIndex.make({ key, keys, event, created })
  const columns = [EventIndex.gather(index, delay), EventIndex.gather(index, late)]
  const sweep = Sweep.start(Sweep.compile(index, columns, outputs))
  const { offsets, rows } = groupBy(labelKey, keys)
  const { sort } = sorter()
  for (let k = 0; k < keys; k++) sort(rows, offsets[k] ?? 0, offsets[k + 1] ?? 0, labelTime)
  const into = outputs.map(() => new Float32Array(labels))
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] ?? 0
    sweep.advance(labelKey[row] ?? 0, labelTime[row] ?? 0)
    sweep.read(labelKey[row] ?? 0, into, row)
  }
  return into
}

/** The limit: once over every event for each window, in and out, and once over every output. */
const pass = () => {
  let sum = 0
  for (let round = 0; round < 2 * windows.length; round++) {
    for (let i = 0; i < events; i++) {
      sum += (event[i] ?? 0) + (created[i] ?? 0) + (delay[i] ?? 0) + (late[i] ?? 0)
    }
  }
  const into = outputs.map(() => new Float32Array(labels))
  for (const column of into) for (let i = 0; i < labels; i++) column[i] = i
  return sum + into.length
}

const times: Array<number> = []
const limits: Array<number> = []
let before = process.memoryUsage.rss()
let memory = 0
for (let round = 0; round < 3; round++) {
  globalThis.gc?.()
  if (round === 0) before = process.memoryUsage.rss()
  const [seconds] = cpu(frame)
  memory = Math.max(memory, process.memoryUsage.rss() - before)
  times.push(seconds)
  limits.push(cpu(pass)[0])
}
const time = median(times)
const size = `${events} events, ${labels} labels, ${outputs.length} aggregates, 1 key`
print("windows.frame", time, "CPU s", size, "< 2.5", time < 2.5)
const ratio = time / median(limits)
print("windows.ratio", ratio, "x", "a plain pass over the same memory", "< 40", ratio < 40)
print("windows.memory", memory / 2 ** 20, "MiB", size, "< 700", memory / 2 ** 20 < 700)
