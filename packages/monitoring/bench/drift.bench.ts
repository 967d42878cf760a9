/** Drift of a table of 20 columns: profiling the rows, and comparing two profiles. */
import { Drift, HypothesisTest, Profile } from "../src/index.ts"
import { random } from "../src/internal/random.ts"

const rows = Number(process.env["ROWS"] ?? 500_000)
const next = random(1)
const numeric = Array.from({ length: 16 }, () => Float64Array.from({ length: rows }, next))
const airports = Array.from({ length: 300 }, (_, i) => `A${i}`)
const text = Array.from({ length: 4 }, () =>
  Array.from({ length: rows }, () => airports[Math.floor(next() * 300)] ?? ""),
)
const table = Object.fromEntries([
  ...numeric.map((column, i) => [`x${i}`, column] as const),
  ...text.map((column, i) => [`t${i}`, column] as const),
])

const print = (bench: string, value: number, unit: string, against: string, bar: number): void =>
  console.log(
    JSON.stringify({
      bench,
      value: Number(value.toPrecision(4)),
      unit,
      against,
      bar,
      pass: value <= bar,
    }),
  )

const seconds = (work: () => unknown, rounds = 3): number => {
  const times = Array.from({ length: rounds }, () => {
    const began = performance.now()
    work()
    return (performance.now() - began) / 1000
  })
  return times.sort((a, b) => a - b)[rounds >> 1] ?? Number.NaN
}

const [first = new Float64Array(0), second = first] = numeric
const sorting = seconds(() => first.slice().sort(), 9)
const copying = seconds(() => first.slice())
const sorted = "a sort of the same column in this run"
print(
  "profile.numeric",
  seconds(() => Profile.ofColumns({ x: first }), 9) / sorting,
  "x",
  sorted,
  1,
)
const counting = seconds(() => {
  const counts = new Map<string, number>()
  for (const value of text[0] ?? []) counts.set(value, (counts.get(value) ?? 0) + 1)
})
let profile = Profile.builder().finish()
const whole = seconds(() => (profile = Profile.ofColumns(table)))
const plain = 16 * sorting + 4 * counting
print(`profile.20_columns.${rows}_rows`, whole / plain, "x", "16 sorts and 4 counts in this run", 1)
const comparing = seconds(() => Drift.compare(profile, profile))
print(
  "drift.20_columns.from_profiles",
  comparing / plain,
  "x",
  "the exact way: sorting the columns",
  0.1,
)
const merging = seconds(() => Profile.merge(profile, profile))
print("profile.merge.20_columns", merging / plain, "x", "the exact way: sorting the columns", 0.1)
print("profile.json.20_columns", JSON.stringify(profile).length / 1024, "KiB", "limit", 1024)
const exact = seconds(() => HypothesisTest.ksTwoSample(first.slice().sort(), second.slice().sort()))
print(
  `ks.exact_statistic.${rows}_by_${rows}`,
  exact / (2 * (sorting + copying)),
  "x",
  "two sorts in this run",
  1.3,
)
