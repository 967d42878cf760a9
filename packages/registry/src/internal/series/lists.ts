import type { Database } from "@ashlar/core"
import { type RawBuilder, sql, type SqlBool } from "kysely"

/*
 * Lists as one parameter, so that a statement is the same however long they are: it is prepared once,
 * and no list meets a limit on parameters.
 */

/** A list of texts as a parameter. */
export const texts = (values: ReadonlyArray<string>, dialect: Database.Dialect): string =>
  dialect === "sqlite"
    ? JSON.stringify(values)
    : `{${values.map((value) => `"${value.replaceAll(/["\\]/g, "\\$&")}"`).join(",")}}`

/** A list of whole numbers as a parameter. */
export const numbers = (values: ReadonlyArray<number>, dialect: Database.Dialect): string =>
  dialect === "sqlite" ? `[${values.join(",")}]` : `{${values.join(",")}}`

/** Whether a column is in a list that {@link texts} or {@link numbers} made. */
export const among = (
  column: string,
  list: string,
  type: "text" | "bigint",
  dialect: Database.Dialect,
): RawBuilder<SqlBool> =>
  dialect === "sqlite"
    ? sql<SqlBool>`${sql.ref(column)} in (select value from json_each(${list}))`
    : sql<SqlBool>`${sql.ref(column)} = any(cast(${list} as ${sql.raw(type)}[]))`

/** Rows of cells as a parameter. JSON has no infinities, so that they go as the database's text. */
export const rows = (
  values: ReadonlyArray<ReadonlyArray<number | string | null>>,
  dialect: Database.Dialect,
): string => {
  const infinity = dialect === "sqlite" ? "9e999" : "Infinity"
  return JSON.stringify(
    values.map((row) =>
      row.map((cell) =>
        typeof cell !== "number" || Number.isFinite(cell)
          ? cell
          : cell > 0
            ? infinity
            : `-${infinity}`,
      ),
    ),
  )
}

/** Where {@link rows} come from, as `cells`. */
export const from = (list: string, dialect: Database.Dialect): RawBuilder<unknown> =>
  dialect === "sqlite"
    ? sql`json_each(${list}) as cells`
    : sql`json_array_elements(cast(${list} as json)) as cells`

/** A cell of `cells`. */
export const cell = (
  index: number,
  type: "text" | "bigint" | "double precision",
): RawBuilder<unknown> => sql.raw(`cast(cells.value ->> ${index} as ${type})`)
