import { once } from "node:events"
import { connect, createServer, type Socket } from "node:net"
import { inspect } from "node:util"
import { Database } from "@ashlar/core"
import * as Postgres from "@ashlar/core/postgres"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { sql } from "kysely"
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { startServer, testPostgres, type TestPostgres } from "./support/postgres.ts"

let server: TestPostgres | undefined
beforeAll(async () => {
  server = await testPostgres()
})
afterAll(() => server?.[Symbol.asyncDispose]())

type Service = Database.Database["Service"]

const onDatabase = <A, E>(
  options: Postgres.PostgresOptions,
  work: (db: Service) => Effect.Effect<A, E>,
): Promise<A> =>
  Effect.runPromise(
    Effect.provide(
      Effect.flatMap(Database.Database, work),
      Postgres.layer({ url: server?.url ?? "", schema: server?.schema ?? "", ...options }),
    ),
  )

const ids = (db: Service) =>
  Effect.map(db.all(sql<{ id: number }>`select id from t order by id`), (rows) =>
    rows.map(({ id }) => id),
  )
const insert = (db: Service, id: number) => db.run(sql`insert into t values (${id}, 0)`)
const update = (db: Service, id: number) => db.run(sql`update t set n = n + 1 where id = ${id}`)
const backend = (db: Service) =>
  Effect.map(db.first(sql<{ pid: number }>`select pg_backend_pid() as pid`), (row) => row?.pid ?? 0)

const kill = (pid: number) =>
  Effect.promise(async () => server?.admin("select pg_terminate_backend($1)", [pid]))

beforeEach(() =>
  onDatabase({}, (db) =>
    Effect.andThen(
      db.run(sql`drop table if exists t`),
      db.run(sql`create table t (id bigint primary key, n bigint not null)`),
    ),
  ),
)

describe("a connection that dies", () => {
  it("in mid-transaction is Unavailable, writes nothing, and the pool recovers", async () => {
    await onDatabase({ poolSize: 1 }, (db) =>
      Effect.gen(function* () {
        const killed = db.transaction(
          Effect.gen(function* () {
            yield* insert(db, 1)
            yield* kill(yield* backend(db))
            yield* insert(db, 2)
          }),
        )
        const error = yield* Effect.flip(killed)
        expect(error.reason).toBe("Unavailable")
        expect(yield* ids(db)).toEqual([])
        yield* db.transaction(insert(db, 3))
        expect(yield* ids(db)).toEqual([3])
      }),
    )
  })

  it("before the commit is Unavailable and says that nothing half is there", async () => {
    await onDatabase({ poolSize: 1 }, (db) =>
      Effect.gen(function* () {
        const pid = yield* backend(db)
        const error = yield* Effect.flip(
          db.transaction(
            Effect.andThen(insert(db, 1), Effect.andThen(kill(pid), Effect.sleep(50))),
          ),
        )
        expect(error.reason).toBe("Unavailable")
        expect(error.message).toMatch(/whole or not at all/)
        expect(yield* ids(db)).toEqual([])
      }),
    )
  })

  it("while idle is replaced without an error", async () => {
    await onDatabase({ poolSize: 1 }, (db) =>
      Effect.gen(function* () {
        const pid = yield* backend(db)
        yield* kill(pid)
        yield* Effect.sleep(100)
        expect(yield* backend(db)).not.toBe(pid)
      }),
    )
  })
})

describe("contention", () => {
  it("a deadlock is Conflict for one side and the other commits", async () => {
    await onDatabase({}, (db) =>
      Effect.gen(function* () {
        yield* insert(db, 1)
        yield* insert(db, 2)
        const [a, b] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const cross = (first: number, then: number, mine: typeof a, theirs: typeof b) =>
          Effect.match(
            db.transaction(
              Effect.gen(function* () {
                yield* update(db, first)
                yield* Deferred.succeed(mine, undefined)
                yield* Deferred.await(theirs)
                yield* update(db, then)
              }),
            ),
            { onFailure: ({ reason }) => reason, onSuccess: () => "committed" },
          )
        const outcomes = yield* Effect.all([cross(1, 2, a, b), cross(2, 1, b, a)], {
          concurrency: 2,
        })
        expect(outcomes.toSorted()).toEqual(["Conflict", "committed"])
      }),
    )
  })

  it("a statement beyond its time is Timeout", async () => {
    const error = await onDatabase({ statementTimeoutMs: 50 }, (db) =>
      Effect.flip(db.all(sql`select pg_sleep(5)`)),
    )
    expect(error.reason).toBe("Timeout")
    expect(error.message).toContain("statementTimeoutMs")
  })

  it("an exhausted pool is Timeout and says what to raise", async () => {
    const error = await onDatabase({ poolSize: 1, connectTimeoutMs: 100 }, (db) =>
      Effect.gen(function* () {
        const started = yield* Deferred.make<void>()
        const holder = yield* Effect.forkChild(
          db.transaction(Effect.andThen(Deferred.succeed(started, undefined), Effect.sleep(1000))),
        )
        yield* Deferred.await(started)
        const failed = yield* Effect.flip(db.all(sql`select 1`))
        yield* Fiber.interrupt(holder)
        yield* db.all(sql`select 1`)
        return failed
      }),
    )
    expect(error.reason).toBe("Timeout")
    expect(error.message).toContain("poolSize")
  })

  it("an interrupted transaction frees its locks although a statement runs", async () => {
    await onDatabase({}, (db) =>
      Effect.gen(function* () {
        yield* insert(db, 1)
        const started = yield* Deferred.make<void>()
        const fiber = yield* Effect.forkChild(
          db.transaction(
            Effect.gen(function* () {
              yield* update(db, 1)
              yield* Deferred.succeed(started, undefined)
              yield* db.all(sql`select pg_sleep(20)`)
            }),
          ),
        )
        yield* Deferred.await(started)
        yield* Effect.sleep(50)
        yield* Fiber.interrupt(fiber)
        yield* Effect.timeout(update(db, 1), "5 seconds")
        const row = yield* db.first(sql<{ n: number }>`select n from t`)
        expect(row).toEqual({ n: 1 })
      }),
    )
  })
})

describe("a server that is not there", () => {
  const secret = "geheim-42"
  const failure = (options: Postgres.PostgresOptions): Promise<Database.DatabaseError> =>
    onDatabase(options, () => Effect.die(new Error("it connected"))).catch(
      (error: Database.DatabaseError) => error,
    )

  it.each([
    ["a closed port", `postgres://ada:${secret}@127.0.0.1:1/x`, "Unavailable"],
    ["no address", `postgres://ada:${secret}@[/x`, "InvalidInput"],
  ])("%s is a typed error without the password", async (_, url, reason) => {
    const error = await failure({ url })
    expect(error).toBeInstanceOf(Database.DatabaseError)
    expect(error.reason).toBe(reason)
    expect(inspect(error, { depth: 10 })).not.toContain(secret)
  })

  it("wrong options are InvalidInput", async () => {
    expect((await failure({ schema: 'x"; drop table t' })).field).toBe("schema")
    expect((await failure({ poolSize: 0 })).field).toBe("poolSize")
    expect((await failure({ statementTimeoutMs: -1 })).field).toBe("statementTimeoutMs")
    expect((await failure({ connectTimeoutMs: Number.NaN })).field).toBe("connectTimeoutMs")
  })
})

describe("a server that stops and starts again", () => {
  it("fails what runs, keeps what was acknowledged, and is used again", async () => {
    const own = await startServer()
    try {
      await onDatabase({ url: own.url, schema: "own", connectTimeoutMs: 2000 }, (db) =>
        Effect.gen(function* () {
          yield* db.run(sql`create table t (id bigint primary key, n bigint not null)`)
          yield* insert(db, 1)
          const broken = db.transaction(
            Effect.gen(function* () {
              yield* insert(db, 2)
              yield* Effect.promise(own.halt)
              yield* insert(db, 3)
            }),
          )
          expect((yield* Effect.flip(broken)).reason).toBe("Unavailable")
          expect((yield* Effect.flip(ids(db))).reason).toBe("Unavailable")
          yield* Effect.promise(own.start)
          expect(yield* ids(db)).toEqual([1])
          yield* insert(db, 2)
        }),
      )
    } finally {
      await own.stop()
    }
  })
})

/** Passes bytes on to the server until it falls silent, as behind a cable that was pulled. */
const silenceable = async (target: URL) => {
  const sockets = new Set<Socket>()
  let silent = false
  const proxy = createServer((client) => {
    const upstream = connect({ host: target.hostname, port: Number(target.port || 5432) })
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on("data", (chunk) => void (silent || to.write(chunk)))
      from.on("error", () => {})
      from.on("close", () => void (silent || to.destroy()))
    }
  })
  await once(proxy.listen(0, "127.0.0.1"), "listening")
  const address = proxy.address()
  const url = new URL(target)
  url.host = `127.0.0.1:${typeof address === "object" ? (address?.port ?? 0) : 0}`
  return {
    url: url.href,
    fallSilent: () => {
      silent = true
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      proxy.close()
    },
  }
}

describe("a server that falls silent", () => {
  it("in mid-transaction is Unavailable in the end, and nothing is written", async () => {
    const own = await startServer()
    const proxy = await silenceable(new URL(own.url))
    const direct = { url: own.url, schema: "own" }
    try {
      await onDatabase(direct, (db) =>
        db.run(sql`create table t (id bigint primary key, n bigint not null)`),
      )
      const options = { url: proxy.url, schema: "own", statementTimeoutMs: 300 }
      const error = await onDatabase({ ...options, connectTimeoutMs: 1000 }, (db) =>
        Effect.flip(
          db.transaction(
            Effect.gen(function* () {
              yield* insert(db, 1)
              proxy.fallSilent()
              yield* insert(db, 2)
            }),
          ),
        ),
      )
      expect(error.code).toBe("DatabaseError.Unavailable")
      proxy.close()
      expect(await onDatabase(direct, ids)).toEqual([])
    } finally {
      proxy.close()
      await own.stop()
    }
  }, 60_000)
})
