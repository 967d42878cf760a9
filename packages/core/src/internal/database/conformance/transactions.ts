import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { ensure, equal, fails } from "../../../testing/Conformance.ts"
import { type DatabaseCase, withTable } from "./table.ts"

const boom = new Error("boom")

/** Whole or not at all, alone, and said so. */
export const transactionCases: ReadonlyArray<DatabaseCase> = [
  {
    name: "a transaction commits when its effect succeeds",
    promise: false,
    run: withTable(({ db, add, ids }) =>
      Effect.gen(function* () {
        const value = yield* db.transaction(
          Effect.gen(function* () {
            yield* add(1)
            yield* equal(yield* ids, [1], "its own rows")
            yield* add(2)
            return "done"
          }),
        )
        yield* equal(value, "done", "its value")
        yield* equal(yield* ids, [1, 2], "rows")
      }),
    ),
  },
  {
    name: "a transaction rolls back on failure, defect and interruption",
    promise: false,
    run: withTable(({ db, add, ids }) =>
      Effect.gen(function* () {
        const failed = yield* Effect.exit(
          db.transaction(Effect.andThen(add(1), Effect.fail("why"))),
        )
        yield* equal(failed, Exit.fail("why"), "its own error comes through")
        const died = yield* Effect.exit(db.transaction(Effect.andThen(add(2), Effect.die(boom))))
        yield* equal(died, Exit.die(boom), "its own defect comes through")
        const wrote = yield* Deferred.make<void>()
        const fiber = yield* Effect.forkChild(
          db.transaction(
            Effect.gen(function* () {
              yield* add(3)
              yield* Deferred.succeed(wrote, undefined)
              yield* Effect.never
            }),
          ),
        )
        yield* Deferred.await(wrote)
        yield* Fiber.interrupt(fiber)
        yield* equal(yield* ids, [], "rows")
        yield* add(1)
      }),
    ),
  },
  {
    name: "no other fiber sees half a transaction",
    promise: false,
    run: withTable(({ db, add, ids }) =>
      Effect.gen(function* () {
        const half = yield* Deferred.make<void>()
        const writer = yield* Effect.forkChild(
          db.transaction(
            Effect.gen(function* () {
              yield* add(1)
              yield* Deferred.succeed(half, undefined)
              yield* Effect.sleep(30)
              yield* add(2)
            }),
          ),
        )
        yield* Deferred.await(half)
        const seen = yield* ids
        yield* ensure(seen.length !== 1, `another fiber saw ${JSON.stringify(seen)}`)
        yield* Fiber.join(writer)
        yield* equal(yield* ids, [1, 2], "rows")
      }),
    ),
  },
  {
    name: "fibers forked inside a transaction belong to it",
    promise: false,
    run: withTable(({ db, add, ids }) =>
      Effect.gen(function* () {
        const inside = Effect.forEach([1, 2, 3], (id) => add(id), { concurrency: 3 })
        yield* Effect.exit(db.transaction(Effect.andThen(inside, Effect.fail("undo"))))
        yield* equal(yield* ids, [], "rows after the rollback")
        yield* db.transaction(inside)
        yield* equal(yield* ids, [1, 2, 3], "rows after the commit")
      }),
    ),
  },
  {
    name: "a nested transaction joins the outer one",
    promise: false,
    run: withTable(({ db, add, ids }) =>
      Effect.gen(function* () {
        yield* db.transaction(Effect.andThen(add(1), db.transaction(add(2))))
        yield* equal(yield* ids, [1, 2], "rows after the commit")
        const undone = Effect.andThen(db.transaction(add(3)), Effect.fail("undo"))
        yield* Effect.exit(db.transaction(undone))
        yield* equal(yield* ids, [1, 2], "rows after the rollback")
      }),
    ),
  },
  {
    name: "a failure inside dooms the transaction, also when it was caught",
    promise: false,
    run: withTable(({ db, add, ids }) =>
      Effect.gen(function* () {
        yield* add(1)
        const statement = Effect.gen(function* () {
          yield* add(2)
          yield* Effect.ignore(add(1))
          yield* fails(add(3), "PreconditionFailed")
        })
        yield* fails(db.transaction(statement), "PreconditionFailed")
        const nested = Effect.andThen(
          add(4),
          Effect.ignore(db.transaction(Effect.andThen(add(5), Effect.fail("caught")))),
        )
        yield* fails(db.transaction(nested), "PreconditionFailed")
        yield* equal(yield* ids, [1], "rows")
      }),
    ),
  },
  {
    name: "a query after its transaction ended is refused",
    promise: false,
    run: withTable(({ db, add, ids }) =>
      Effect.gen(function* () {
        const ended = yield* Deferred.make<void>()
        const late = Effect.andThen(Deferred.await(ended), add(1))
        const fiber = yield* db.transaction(Effect.forkDetach(late))
        yield* Deferred.succeed(ended, undefined)
        yield* fails(Fiber.join(fiber), "PreconditionFailed")
        yield* equal(yield* ids, [], "rows")
      }),
    ),
  },
  {
    name: "onCommit runs after the commit, not after a rollback, at once outside",
    promise: false,
    run: withTable(({ db, add, ids }) =>
      Effect.gen(function* () {
        const log: Array<string> = []
        const note = (text: string) => Effect.sync(() => void log.push(text))
        const seen = Effect.flatMap(Effect.orDie(ids), (rows) => note(`rows ${rows.length}`))
        yield* db.onCommit(note("outside"))
        yield* db.transaction(
          Effect.gen(function* () {
            yield* db.onCommit(seen)
            yield* add(1)
            yield* note("inside")
          }),
        )
        yield* Effect.exit(
          db.transaction(Effect.andThen(db.onCommit(note("never")), Effect.fail("undo"))),
        )
        yield* equal(log, ["outside", "inside", "rows 1"], "the order")
      }),
    ),
  },
  {
    name: "concurrent transactions lose no update",
    promise: false,
    run: withTable(({ db, build, item, add }) =>
      Effect.gen(function* () {
        yield* add(1)
        yield* db.run(build.updateTable(item).set({ score: 0 }))
        const increment = db.transaction(
          Effect.gen(function* () {
            const row = yield* db.first(build.selectFrom(item).select("score").forUpdate())
            yield* Effect.yieldNow
            yield* db.run(build.updateTable(item).set({ score: (row?.score ?? 0) + 1 }))
          }),
        )
        yield* Effect.forEach(Array.from({ length: 25 }), () => increment, { concurrency: 8 })
        const row = yield* db.first(build.selectFrom(item).select("score"))
        yield* equal(row?.score, 25, "the count")
      }),
    ),
  },
]
