import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Allowed, allowlist } from "./allowlist.ts"
import type { Case, Family } from "./cases.ts"
import { families } from "./corpus/index.ts"
import { type Aspect, differences, type Normal, normalize } from "./normalize.ts"
import { startMlflow, startOurs } from "./servers.ts"
import { capture, send, type Variables } from "./transport.ts"

/** One compared case. */
export interface Compared {
  readonly id: string
  readonly asked: Case
  readonly theirs: Normal
  readonly ours: Normal
  readonly differing: ReadonlyArray<Aspect>
  readonly allowed: Allowed | undefined
}

/** What the comparison found. */
export interface Report {
  readonly compared: ReadonlyArray<Compared>
  /** Entries of the allowlist that no case needed, of the families that ran. */
  readonly unused: ReadonlyArray<Allowed>
}

const matches = (entry: Allowed, id: string): boolean =>
  typeof entry.cases === "string" ? entry.cases === id : entry.cases.test(id)

const replayFamily = async (
  family: Family,
  theirUrl: string,
  ourUrl: string,
): Promise<ReadonlyArray<Compared>> => {
  const theirNames: Variables = new Map()
  const ourNames: Variables = new Map()
  const compared: Array<Compared> = []
  for (const asked of family.cases) {
    const [theirAnswer, ourAnswer] = await Promise.all([
      send(theirUrl, asked, theirNames),
      send(ourUrl, asked, ourNames),
    ])
    capture(asked, theirAnswer, theirNames)
    capture(asked, ourAnswer, ourNames)
    const theirs = normalize(asked, theirAnswer, theirNames)
    const ours = normalize(asked, ourAnswer, ourNames)
    const differing = differences(theirs, ours)
    const id = `${family.name}/${asked.name}`
    const allowed =
      differing.length === 0
        ? undefined
        : allowlist.find(
            (entry) =>
              matches(entry, id) &&
              differing.every((aspect) => entry.aspects.includes(aspect)) &&
              (entry.when?.(theirs, ours) ?? true),
          )
    compared.push({ id, asked, theirs, ours, differing, allowed })
  }
  return compared
}

/** Replays the corpus, or some families of it, against both servers. */
export const replay = async (names: ReadonlyArray<string> = []): Promise<Report> => {
  const unknown = names.filter((name) => !families.some((family) => family.name === name))
  if (unknown.length > 0) {
    throw new Error(
      `no family ${unknown.join(", ")}: there are ${families.map(({ name }) => name).join(", ")}`,
    )
  }
  const folder = mkdtempSync(join(tmpdir(), "ashlar-differential-"))
  const stops: Array<() => Promise<void>> = []
  try {
    const ours = await startOurs(folder)
    stops.push(ours.stop)
    const theirs = await startMlflow(folder)
    stops.push(theirs.stop)
    const compared: Array<Compared> = []
    for (const family of families) {
      if (names.length > 0 && !names.includes(family.name)) continue
      compared.push(...(await replayFamily(family, theirs.url, ours.url)))
    }
    const unused = allowlist.filter(
      (entry) =>
        !compared.some(({ allowed }) => allowed === entry) &&
        (names.length === 0 ||
          (entry.when === undefined && compared.some(({ id }) => matches(entry, id)))),
    )
    return { compared, unused }
  } finally {
    for (const stop of stops.reverse()) await stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** A line for each family, then the sum. */
export const table = ({ compared }: Report): string => {
  const rows = new Map<
    string,
    { cases: number; equal: number; allowed: number; different: number }
  >()
  for (const { id, differing, allowed } of compared) {
    for (const name of [id.split("/", 1)[0] ?? "", "all"]) {
      const row = rows.get(name) ?? { cases: 0, equal: 0, allowed: 0, different: 0 }
      row.cases += 1
      row[differing.length === 0 ? "equal" : allowed === undefined ? "different" : "allowed"] += 1
      rows.set(name, row)
    }
  }
  const all = rows.get("all")
  rows.delete("all")
  if (all !== undefined) rows.set("all", all)
  const line = (name: string, ...cells: ReadonlyArray<string | number>) =>
    name.padEnd(20) + cells.map((cell) => String(cell).padStart(11)).join("")
  return [
    line("family", "cases", "equal", "allowed", "different"),
    ...[...rows].map(([name, { cases, equal, allowed, different }]) =>
      line(name, cases, equal, allowed, different),
    ),
  ].join("\n")
}

/** What differs without a reason, to be read by a person. */
export const explain = ({ compared, unused }: Report): string =>
  [
    ...compared
      .filter(({ differing, allowed }) => differing.length > 0 && allowed === undefined)
      .map(({ id, asked, theirs, ours, differing }) =>
        [
          `${id}: ${asked.method} ${asked.path} ${JSON.stringify(asked.query ?? asked.body ?? asked.raw ?? null)?.slice(0, 500)}`,
          ...differing.flatMap((aspect) => [
            `  MLflow ${aspect}: ${JSON.stringify(theirs[aspect])?.slice(0, 2000)}`,
            `  ours   ${aspect}: ${JSON.stringify(ours[aspect])?.slice(0, 2000)}`,
          ]),
        ].join("\n"),
      ),
    ...unused.map(({ cases }) => `the allowlist's ${cases} is not needed: remove it`),
  ].join("\n")
