import { type Database, Keyset, type Page } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { SelectQueryBuilder } from "kysely"
import { invalid, type RegistryError } from "../../RegistryError.ts"

/** A page of what has a time of creation and an id, newest first. */
export const newestFirst = <
  Tables,
  From extends keyof Tables,
  Row extends { readonly created: number; readonly id: string },
>(
  db: Database.Database["Service"],
  query: SelectQueryBuilder<Tables, From, Row>,
  request: Page.PageRequest,
): Effect.Effect<Page.Page<Row>, Database.DatabaseError | RegistryError> =>
  Effect.mapError(
    Keyset.page(db, query, request, {
      keys: [
        { column: "created", direction: "desc" },
        { column: "id", direction: "desc" },
      ],
    }),
    (error) => {
      if (error.reason !== "InvalidInput") return error
      return error.field === "token"
        ? invalid("page_token", "Invalid page token: start again without one.")
        : invalid(error.field ?? "page", error.message)
    },
  )
