/**
 * Fitting and predicting one million rows by ten labeling functions, against one pass over the same
 * votes; and Dawid-Skene on a million answers, against one pass over the answers per iteration.
 */
import { Annotations, DawidSkene, LabelModel, VoteMatrix } from "../src/index.ts"

const rows = 1_000_000
const functions = 10
const rounds = 5

let seed = 1
const next = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647

const truth = Int8Array.from({ length: rows }, () => (next() < 0.2 ? 1 : 0))
const columns = Array.from({ length: functions }, (_, j) =>
  Int8Array.from(truth, (y) => {
    if (next() < 0.4) return -1
    return next() < 0.6 + 0.03 * j ? y : 1 - y
  }),
)

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

const seconds = (work: () => unknown): number => {
  const began = performance.now()
  work()
  return (performance.now() - began) / 1000
}

const print = (bench: string, value: number, unit: string, against: string, bar: number): void =>
  console.log(
    JSON.stringify({
      bench,
      value: Number(value.toPrecision(3)),
      unit,
      against,
      bar,
      pass: value <= bar,
    }),
  )

const onePass = (): number => {
  let votes = 0
  for (const column of columns) for (let i = 0; i < rows; i++) votes += column[i] as number
  return votes
}

const label = () => {
  const matrix = VoteMatrix.make(
    columns.map((_, j) => `f${j}`),
    ["no", "yes"],
    columns,
  )
  return LabelModel.predict(LabelModel.fit(matrix), matrix)
}

const times: Array<number> = []
const ratios: Array<number> = []
let grown = 0
label()
for (let round = 0; round < rounds; round++) {
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  const own = seconds(label)
  grown = Math.max(grown, (process.memoryUsage().rss - before) / 2 ** 20)
  times.push(own)
  ratios.push(own / seconds(onePass))
}
print("label-model.1M_x_10", median(times), "s", "none", 1.5)
print("label-model.1M_x_10.ratio", median(ratios), "x", "one pass over the votes", 100)
print("label-model.1M_x_10.memory", grown, "MiB grown", "none", 300)

const workers = 1000
const K = 4
const skill = Float64Array.from({ length: workers }, () => 0.5 + 0.5 * next())
const task = Int32Array.from({ length: rows }, (_, i) => Math.floor(i / 5))
const worker = Int32Array.from({ length: rows }, () => Math.floor(next() * workers))
const annotations: Annotations.Annotations = {
  tasks: Array.from({ length: rows / 5 }, (_, t) => `${t}`),
  workers: Array.from(skill, (_, w) => `${w}`),
  classes: ["a", "b", "c", "d"],
  task,
  worker,
  label: Int32Array.from(task, (t, i) =>
    next() < (skill[worker[i] as number] as number) ? t % K : Math.floor(next() * K),
  ),
}

const onePassOfAnswers = (): number => {
  const sums = new Float64Array((rows / 5) * K)
  for (let i = 0; i < rows; i++) {
    const row = (task[i] as number) * K
    for (let k = 0; k < K; k++) sums[row + k] = (sums[row + k] as number) + 1
  }
  return sums[0] as number
}

const fits: Array<number> = []
const perPass: Array<number> = []
for (let round = 0; round < rounds; round++) {
  let iterations = 1
  const own = seconds(() => ({ iterations } = DawidSkene.fit(annotations)))
  fits.push(own)
  perPass.push(own / iterations / seconds(onePassOfAnswers))
}
print("dawid-skene.1M_answers", median(fits), "s", "none", 1)
print(
  "dawid-skene.1M_answers.ratio",
  median(perPass),
  "x an iteration",
  "one pass over the answers",
  20,
)
