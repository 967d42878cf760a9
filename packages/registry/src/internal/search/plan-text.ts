import type { Database } from "@ashlar/core"
import { type Expression as Sql, type RawBuilder, sql, type SqlBool } from "kysely"
import { folded, glob } from "./like.ts"
import { compile, type Regex } from "./regex.ts"
import type { Clause } from "./types.ts"

type Predicate = RawBuilder<SqlBool>

/** Case matters. SQLite's own LIKE ignores it, its GLOB does not. */
const like = (value: Sql<string>, pattern: string, dialect: Database.Dialect): Predicate =>
  dialect === "sqlite"
    ? sql<SqlBool>`(${value} glob ${glob(pattern)})`
    : sql<SqlBool>`(${value} like ${pattern} escape '')`

/** ASCII letters in either case. */
const ilike = (value: Sql<string>, pattern: string, dialect: Database.Dialect): Predicate =>
  dialect === "sqlite"
    ? sql<SqlBool>`(lower(${value}) glob ${glob(folded(pattern))})`
    : sql<SqlBool>`(lower(${value} collate "C") like ${folded(pattern)} escape '')`

const lastPoint = 0x10ffff

/** Rows (from, low, high, to) of the automaton's moves; a negated set is its gaps. */
const moves = ({ sets, edges, fromStart }: Regex): ReadonlyArray<ReadonlyArray<number>> => {
  const ranges = (state: number): ReadonlyArray<readonly [number, number]> => {
    const set = sets[state]
    if (set === undefined) return []
    if (!set.negated) return set.ranges
    const gaps: Array<readonly [number, number]> = []
    let next = 0
    for (const [low, high] of [...set.ranges].toSorted((a, b) => a[0] - b[0])) {
      if (low > next) gaps.push([next, low - 1])
      next = Math.max(next, high + 1)
    }
    return next > lastPoint ? gaps : [...gaps, [next, lastPoint]]
  }
  return [
    ...(fromStart ? [] : [[0, 0, lastPoint, 0]]),
    ...edges.flatMap((to, from) =>
      to.flatMap((state) => ranges(state).map(([low, high]) => [from, low, high, state])),
    ),
  ]
}

/**
 * SQLite has no regular expressions of its own: a recursive query walks the automaton over the
 * text. `union` keeps each pair of state and place once, which bounds the work.
 */
const walked = (value: Sql<string>, regex: Regex): Predicate => {
  const accepting = JSON.stringify([...regex.accepting])
  const end = regex.toEnd ? sql`and walk.place = length(${value}) + 1` : sql``
  return sql<SqlBool>`exists (
    with recursive
      moves(source, low, high, target) as materialized (
        select value ->> 0, value ->> 1, value ->> 2, value ->> 3
        from json_each(${JSON.stringify(moves(regex))})
      ),
      walk(state, place) as (
        select 0, 1
        union
        select moves.target, walk.place + 1
        from walk join moves on moves.source = walk.state
        where walk.place <= length(${value})
          and unicode(substr(${value}, walk.place, 1)) between moves.low and moves.high
      )
    select 1 from walk
    where walk.state in (select value from json_each(${accepting})) ${end}
  )`
}

const finds = (value: Sql<string>, pattern: string, dialect: Database.Dialect): Predicate => {
  const regex = compile(pattern)
  return dialect === "sqlite" ? walked(value, regex) : sql<SqlBool>`(${value} ~ ${regex.postgres})`
}

const not = (predicate: Predicate): Predicate => sql<SqlBool>`(not ${predicate})`

/** The predicate of a clause on a text that is not NULL. */
export const holds = (value: Sql<string>, clause: Clause, dialect: Database.Dialect): Predicate => {
  if (clause.kind === "in") {
    const list = sql.join(clause.values.map((item) => sql`${String(item)}`))
    return clause.comparator === "IN"
      ? sql<SqlBool>`(${value} in (${list}))`
      : sql<SqlBool>`(${value} not in (${list}))`
  }
  if (clause.kind !== "text") {
    return clause.comparator === "IS NOT NULL" ? sql<SqlBool>`(1 = 1)` : sql<SqlBool>`(1 = 0)`
  }
  const { comparator, value: wanted } = clause
  switch (comparator) {
    case "=":
      return sql<SqlBool>`(${value} = ${wanted})`
    case "!=":
      return sql<SqlBool>`(${value} <> ${wanted})`
    case "LIKE":
      return like(value, wanted, dialect)
    case "NOT LIKE":
      return not(like(value, wanted, dialect))
    case "ILIKE":
      return ilike(value, wanted, dialect)
    case "NOT ILIKE":
      return not(ilike(value, wanted, dialect))
    case "~":
      return finds(value, wanted, dialect)
    case "!~":
      return not(finds(value, wanted, dialect))
  }
}
