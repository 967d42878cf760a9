import {
  type ColumnDefinitionNode,
  type DatabaseConnection,
  type DataTypeNode,
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type SelectModifierNode,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from "kysely"
import { invalid } from "./errors.ts"

/** Kysely's dummy driver answers `execute()` with no rows, which is a wrong answer. */
class NoDriver extends DummyDriver {
  override acquireConnection(): Promise<DatabaseConnection> {
    return Promise.reject(
      invalid(
        "This builder makes queries and runs none. Pass the query to the Database's all, first or run instead of calling execute.",
      ),
    )
  }
}

/** Leaves `for update` out: SQLite's one writer has the whole database to itself already. */
class PortableSqliteCompiler extends SqliteQueryCompiler {
  protected override visitSelectModifier(node: SelectModifierNode): void {
    const locks = node.modifier !== undefined && /^(For|NoWait|SkipLocked)/.test(node.modifier)
    if (!locks) super.visitSelectModifier(node)
  }
}

/** Builds queries for SQLite and runs none. */
export const sqliteBuilder = (): Kysely<unknown> =>
  new Kysely({
    dialect: {
      createAdapter: () => new SqliteAdapter(),
      createDriver: () => new NoDriver(),
      createIntrospector: (db) => new SqliteIntrospector(db),
      createQueryCompiler: () => new PortableSqliteCompiler(),
    },
  })

/**
 * Makes the portable column types PostgreSQL's: `blob` is `bytea`, and text sorts by its bytes, as
 * on SQLite, whatever locale the server was set up with.
 */
class PortablePostgresCompiler extends PostgresQueryCompiler {
  #inColumn = false

  protected override visitColumnDefinition(node: ColumnDefinitionNode): void {
    this.#inColumn = true
    super.visitColumnDefinition(node)
    this.#inColumn = false
  }

  protected override visitDataType(node: DataTypeNode): void {
    const inColumn = this.#inColumn
    // Only the column's own type: a default or check after it may hold a cast.
    this.#inColumn = false
    if (node.dataType === "blob") this.append("bytea")
    else if (node.dataType === "text" && inColumn) this.append('text collate "C"')
    else super.visitDataType(node)
  }
}

/** Builds queries for PostgreSQL and runs none. */
export const postgresBuilder = (): Kysely<unknown> =>
  new Kysely({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new NoDriver(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createQueryCompiler: () => new PortablePostgresCompiler(),
    },
  })
