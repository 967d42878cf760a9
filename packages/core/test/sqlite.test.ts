import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Database } from "@ashlar/core"
import * as Sqlite from "@ashlar/core/sqlite"
import BetterSqlite from "better-sqlite3"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import { sql } from "kysely"
import { afterAll, describe, expect, it } from "vitest"
import { onSmallDisk } from "./support/fullDisk.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-sqlite-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const newFile = () => join(folder, `${++files}.db`)

type Service = Database.Database["Service"]

const onDatabase = <A, E>(
  layer: Layer.Layer<Database.Database, unknown>,
  work: (db: Service) => Effect.Effect<A, E>,
): Promise<A> => Effect.runPromise(Effect.provide(Effect.flatMap(Database.Database, work), layer))

const makeTable = sql`create table t (id bigint primary key, body text)`
const ids = (db: Service) =>
  Effect.map(db.all(sql<{ id: number }>`select id from t order by id`), (rows) =>
    rows.map(({ id }) => id),
  )
const insert = (db: Service, id: number, body = "x") =>
  db.run(sql`insert into t values (${id}, ${body})`)

const reasonOf = (layer: Layer.Layer<Database.Database, unknown>): Promise<unknown> =>
  onDatabase(layer, () => Effect.succeed("opened")).catch((error: unknown) =>
    error instanceof Database.DatabaseError ? error.reason : error,
  )

describe("a file another connection has locked", () => {
  it("gives Conflict after the timeout, without blocking the event loop", async () => {
    const file = newFile()
    let ticks = 0
    const error = await onDatabase(Sqlite.layer({ file, busyTimeoutMs: 200 }), (db) =>
      Effect.gen(function* () {
        yield* db.run(makeTable)
        const other = new BetterSqlite(file)
        other.exec("begin immediate")
        const timer = setInterval(() => ticks++, 5)
        const failed = yield* Effect.flip(insert(db, 1))
        const failedToo = yield* Effect.flip(db.transaction(insert(db, 1)))
        clearInterval(timer)
        other.close()
        yield* insert(db, 2)
        expect(yield* ids(db)).toEqual([2])
        expect(failedToo.reason).toBe("Conflict")
        return failed
      }),
    )
    expect(error.reason).toBe("Conflict")
    expect(error.message).toMatch(/locked for more than 200 ms.*busyTimeoutMs/)
    expect(ticks).toBeGreaterThan(10)
  })

  it("is waited for", async () => {
    const file = newFile()
    const found = await onDatabase(Sqlite.layer({ file }), (db) =>
      Effect.gen(function* () {
        yield* db.run(makeTable)
        const other = new BetterSqlite(file)
        other.exec("begin immediate; insert into t values (1, 'theirs')")
        const fiber = yield* Effect.forkChild(db.transaction(insert(db, 2)))
        yield* Effect.sleep(50)
        other.exec("commit")
        other.close()
        yield* Fiber.join(fiber)
        return yield* ids(db)
      }),
    )
    expect(found).toEqual([1, 2])
  })

  it("can be given up by interruption, and the database goes on", async () => {
    const file = newFile()
    const found = await onDatabase(Sqlite.layer({ file }), (db) =>
      Effect.gen(function* () {
        yield* db.run(makeTable)
        const other = new BetterSqlite(file)
        other.exec("begin immediate")
        const fiber = yield* Effect.forkChild(db.transaction(insert(db, 1)))
        yield* Effect.sleep(30)
        yield* Fiber.interrupt(fiber)
        other.close()
        yield* db.transaction(insert(db, 2))
        return yield* ids(db)
      }),
    )
    expect(found).toEqual([2])
  })
})

describe("a full disk", () => {
  it("is OutOfSpace, keeps what was acknowledged and leaves nothing half-written", async () => {
    const file = newFile()
    const large = "x".repeat(4000)
    const acknowledged: Array<number> = []
    await onDatabase(Sqlite.layer({ file, maxBytes: 200_000 }), (db) =>
      Effect.gen(function* () {
        yield* db.run(makeTable)
        const fill = Effect.gen(function* () {
          for (let id = 0; ; id += 2) {
            yield* db.transaction(Effect.andThen(insert(db, id, large), insert(db, id + 1, large)))
            acknowledged.push(id, id + 1)
          }
        })
        const error = yield* Effect.flip(fill)
        expect(error.reason).toBe("OutOfSpace")
        expect(error.message).toContain("Free space")
        const many = Array.from({ length: 100 }, (_, i) => ({ id: 1000 + i, body: large }))
        const batch = yield* Effect.flip(db.insertMany("t", many))
        expect(batch.reason).toBe("OutOfSpace")
        expect(yield* ids(db)).toEqual(acknowledged)
        yield* db.run(sql`delete from t where id < 10`)
        yield* insert(db, 1, large)
      }),
    )
    const found = await onDatabase(Sqlite.layer({ file }), ids)
    expect(found).toEqual([1, ...acknowledged.filter((id) => id >= 10)])
  })

  it("keeps what was acknowledged, on a full file system", async (context) => {
    const place = mkdtempSync(join(tmpdir(), "ashlar-sqlite-disk-"))
    try {
      const reached = await onSmallDisk(place, async (disk) => {
        const full = join(disk, "full.db")
        const large = "x".repeat(100_000)
        const acknowledged: Array<number> = []
        const error = await onDatabase(Sqlite.layer({ file: full }), (db) =>
          Effect.andThen(
            db.run(makeTable),
            Effect.flip(
              Effect.gen(function* () {
                for (let id = 0; ; id++) {
                  yield* db.transaction(insert(db, id, large))
                  acknowledged.push(id)
                }
              }),
            ),
          ),
        )
        expect(error.code).toBe("DatabaseError.OutOfSpace")
        expect(acknowledged.length).toBeGreaterThan(10)
        const copy = join(place, "copy.db")
        for (const suffix of ["", "-wal"]) {
          if (existsSync(full + suffix)) copyFileSync(full + suffix, copy + suffix)
        }
        expect(await onDatabase(Sqlite.layer({ file: copy }), ids)).toEqual(acknowledged)
      })
      if (!reached) context.skip("a small tmpfs cannot be mounted here: that takes root")
    } finally {
      rmSync(place, { recursive: true, force: true })
    }
  })
})

describe("a file that cannot be opened", () => {
  it("is Corrupt when it holds something else or lost its pages", async () => {
    const other = newFile()
    writeFileSync(other, "This is a letter, not a database. ".repeat(200))
    expect(await reasonOf(Sqlite.layer({ file: other }))).toBe("Corrupt")

    const cut = newFile()
    await onDatabase(Sqlite.layer({ file: cut }), (db) =>
      Effect.andThen(
        db.run(makeTable),
        db.insertMany(
          "t",
          Array.from({ length: 500 }, (_, id) => ({ id, body: "x".repeat(500) })),
        ),
      ),
    )
    truncateSync(cut, 40_960)
    const read = onDatabase(Sqlite.layer({ file: cut }), ids)
    await expect(read).rejects.toMatchObject({
      reason: "Corrupt",
      message: expect.stringContaining("backup"),
    })
  })

  it("is Unavailable when it is a folder or lies below a file", async () => {
    const taken = newFile()
    mkdirSync(taken)
    expect(await reasonOf(Sqlite.layer({ file: taken }))).toBe("Unavailable")
    const plain = newFile()
    writeFileSync(plain, "")
    expect(await reasonOf(Sqlite.layer({ file: join(plain, "below.db") }))).toBe("Unavailable")
    expect(await reasonOf(Sqlite.layer({ file: "" }))).toBe("InvalidInput")
  })
})

describe("a closed database", () => {
  it("is Unavailable", async () => {
    const kept = await onDatabase(Sqlite.layer({ file: ":memory:" }), (db) => Effect.succeed(db))
    for (const use of [kept.run(makeTable), kept.transaction(Effect.void)]) {
      const error = await Effect.runPromise(Effect.flip(use))
      expect([error.reason, error.message]).toEqual([
        "Unavailable",
        expect.stringContaining("was closed"),
      ])
    }
  })
})

describe("the builder", () => {
  it("runs nothing by itself, rather than answer with no rows", async () => {
    const execute = onDatabase(Sqlite.layer({ file: ":memory:" }), (db) =>
      Effect.tryPromise(() =>
        db.build<{ t: { id: number } }>().selectFrom("t").selectAll().execute(),
      ),
    )
    await expect(execute).rejects.toMatchObject({ cause: { reason: "InvalidInput" } })
  })
})

describe("layerConfig", () => {
  it("reads the environment", async () => {
    const file = newFile()
    const provider = ConfigProvider.fromEnv({ env: { ASHLAR_SQLITE_FILE: file } })
    await Effect.runPromise(
      Effect.flatMap(Database.Database, (db) => db.run(makeTable)).pipe(
        Effect.provide(Sqlite.layerConfig()),
        Effect.provideService(ConfigProvider.ConfigProvider, provider),
      ),
    )
    expect(await onDatabase(Sqlite.layer({ file }), ids)).toEqual([])
  })
})
