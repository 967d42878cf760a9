import { setTimeout as sleep } from "node:timers/promises"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { describe, expect, expectTypeOf, it } from "vitest"
import { Failure } from "@ashlar/core"
import type { BlobStore, Database } from "@ashlar/core"
import { type CallOptions, Facade, FacadeError } from "@ashlar/core/promise"

class ShelfError extends Schema.TaggedError<ShelfError>()(
  "ShelfError",
  Failure.fields(["NotFound"]),
) {
  readonly code = Failure.codeOf(this)
}

interface Shape {
  readonly name: string
  readonly capabilities: { readonly scan: boolean }
  readonly get: (key: string) => Effect.Effect<number, ShelfError>
  readonly list: (
    prefix: string,
    page?: { readonly limit: number },
  ) => Effect.Effect<ReadonlyArray<string>>
  readonly size: Effect.Effect<number>
  readonly forever: Effect.Effect<never>
  readonly broken: Effect.Effect<never>
  readonly count: (from: number) => Stream.Stream<number, ShelfError>
  readonly ticks: Stream.Stream<number>
  readonly sum: (values: Stream.Stream<number, ShelfError>) => Effect.Effect<number, ShelfError>
  readonly open: (key: string) => Effect.Effect<Stream.Stream<string>>
  readonly prepare: (sql: string) => (id: number) => Effect.Effect<string>
  readonly lease: Effect.Effect<string, never, Scope.Scope>
  readonly leaseOf: (key: string) => Effect.Effect<string, never, Scope.Scope>
  readonly upper: (text: string) => string
}

class Shelf extends Context.Service<Shelf, Shape>()("test/Shelf/v1") {}

const makeLayer = (log: Array<string> = []) =>
  Layer.effect(
    Shelf,
    Effect.acquireRelease(
      Effect.sync((): Shape => {
        log.push("opened")
        return {
          name: "shelf",
          capabilities: { scan: true },
          get: (key) =>
            key === "a"
              ? Effect.succeed(1)
              : Effect.fail(new ShelfError({ reason: "NotFound", message: `no ${key}` })),
          list: (prefix, page) =>
            Effect.sync(() => [prefix, page === undefined ? "all" : String(page.limit)]),
          size: Effect.succeed(3),
          forever: Effect.never.pipe(
            Effect.onInterrupt(() => Effect.sync(() => log.push("stopped"))),
          ),
          broken: Effect.die(new RangeError("a bug")),
          count: (from) =>
            Stream.concat(
              Stream.make(from, from + 1),
              Stream.fail(new ShelfError({ reason: "NotFound", message: "end" })),
            ),
          ticks: Stream.fromEffectRepeat(Effect.as(Effect.sleep(1), 1)).pipe(
            Stream.ensuring(Effect.sync(() => log.push("ticks released"))),
          ),
          sum: (values) =>
            Stream.runFold(
              values,
              () => 0,
              (total, value) => total + value,
            ),
          open: (key) => Effect.succeed(Stream.make(`${key}1`, `${key}2`)),
          prepare: (sql) => (id) => Effect.succeed(`${sql}:${id}`),
          lease: Effect.succeed("lease"),
          leaseOf: (key) => Effect.succeed(key),
          upper: (text) => text.toUpperCase(),
        }
      }),
      () => Effect.sync(() => log.push("closed")),
    ),
  )

const collect = async <A>(iterable: AsyncIterable<A>): Promise<Array<A>> => {
  const all: Array<A> = []
  for await (const each of iterable) all.push(each)
  return all
}

describe("types", () => {
  it("equal the service's", () => {
    type Face = Facade<Shape>
    expectTypeOf<Face["name"]>().toEqualTypeOf<string>()
    expectTypeOf<Face["get"]>().toEqualTypeOf<
      (key: string, options?: CallOptions) => Promise<number>
    >()
    expectTypeOf<Face["size"]>().toEqualTypeOf<(options?: CallOptions) => Promise<number>>()
    expectTypeOf<Face["ticks"]>().toEqualTypeOf<AsyncIterable<number>>()
    expectTypeOf<Face["count"]>().toEqualTypeOf<
      (from: number, options?: CallOptions) => AsyncIterable<number>
    >()
    expectTypeOf<ReturnType<Face["open"]>>().toEqualTypeOf<Promise<AsyncIterable<string>>>()
    expectTypeOf<ReturnType<ReturnType<Face["prepare"]>>>().toEqualTypeOf<Promise<string>>()
    expectTypeOf<Face["upper"]>().toEqualTypeOf<(text: string) => string>()
    // Every key of the service is there, except those that need a scope.
    expectTypeOf<keyof Face>().toEqualTypeOf<Exclude<keyof Shape, "lease" | "leaseOf">>()
  })

  it("of a core service: results, optional arguments and streams as arguments", () => {
    type Face = Facade<BlobStore.BlobStore["Service"]>
    expectTypeOf<keyof Face>().toEqualTypeOf<keyof BlobStore.BlobStore["Service"]>()
    expectTypeOf<Awaited<ReturnType<Face["head"]>>>().toEqualTypeOf<BlobStore.BlobInfo>()
    expectTypeOf<ReturnType<Face["get"]>>().toEqualTypeOf<AsyncIterable<Uint8Array>>()
    expectTypeOf<["k", AsyncIterable<Uint8Array>]>().toExtend<Parameters<Face["put"]>>()
    expectTypeOf<["k", { signal: AbortSignal }]>().toExtend<Parameters<Face["get"]>>()
    expectTypeOf<["k", { start: number }, { signal: AbortSignal }]>().toExtend<
      Parameters<Face["get"]>
    >()
    expectTypeOf<[number]>().not.toExtend<Parameters<Face["get"]>>()
  })
})

describe("types of generic methods", () => {
  it("are erased to their constraints; what runs an effect of the caller's is left out", () => {
    type Face = Facade<Database.Database["Service"]>
    expectTypeOf<
      Exclude<keyof Database.Database["Service"], keyof Face>
    >().toEqualTypeOf<"transaction">()
    expectTypeOf<Awaited<ReturnType<Face["all"]>>>().toEqualTypeOf<ReadonlyArray<unknown>>()
    expectTypeOf<Awaited<ReturnType<Face["run"]>>>().toEqualTypeOf<Database.Changes>()
  })
})

describe("Facade", () => {
  it("gives values, plain properties, nested functions and optional arguments", async () => {
    await using shelf = await Facade.make(Shelf, makeLayer())
    expect(await shelf.get("a")).toBe(1)
    expect(await shelf.size()).toBe(3)
    expect(shelf.name).toBe("shelf")
    expect(shelf.capabilities).toEqual({ scan: true })
    expect(shelf.upper("x")).toBe("X")
    expect(await shelf.prepare("q")(7)).toBe("q:7")
    const { signal } = new AbortController()
    expect(await shelf.list("p")).toEqual(["p", "all"])
    expect(await shelf.list("p", { limit: 2 })).toEqual(["p", "2"])
    expect(await shelf.list("p", { signal })).toEqual(["p", "all"])
    expect(await shelf.list("p", { limit: 2 }, { signal })).toEqual(["p", "2"])
  })

  it("rejects with the same error class, and with defects as they are", async () => {
    await using shelf = await Facade.make(Shelf, makeLayer())
    const error: unknown = await shelf.get("zz").catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(ShelfError)
    expect(error).toMatchObject({ reason: "NotFound", code: "ShelfError.NotFound" })
    await expect(shelf.broken()).rejects.toThrow(RangeError)
  })

  it("aborts a running call, and does not start one that is aborted already", async () => {
    const log: Array<string> = []
    await using shelf = await Facade.make(Shelf, makeLayer(log))
    const controller = new AbortController()
    const call = shelf.forever({ signal: controller.signal })
    controller.abort(new Error("enough"))
    await expect(call).rejects.toThrow("enough")
    expect(log).toContain("stopped")
    const late = shelf.get("a", { signal: controller.signal })
    await expect(late).rejects.toThrow("enough")
  })

  it("iterates streams, fails with their error and stops them on return", async () => {
    const log: Array<string> = []
    await using shelf = await Facade.make(Shelf, makeLayer(log))
    const seen: Array<number> = []
    const read = async () => {
      for await (const each of shelf.count(5)) seen.push(each)
    }
    await expect(read()).rejects.toBeInstanceOf(ShelfError)
    expect(seen).toEqual([5, 6])
    for await (const tick of shelf.ticks) if (tick === 1) break
    expect(log).toContain("ticks released")
    expect(await collect(await shelf.open("k"))).toEqual(["k1", "k2"])
    // The same property can be iterated again.
    for await (const tick of shelf.ticks) if (tick === 1) break
    expect(log.filter((line) => line === "ticks released")).toHaveLength(2)
  })

  it("aborts a stream by its signal", async () => {
    await using shelf = await Facade.make(Shelf, makeLayer())
    const controller = new AbortController()
    const iterator = shelf.count(1, { signal: controller.signal })[Symbol.asyncIterator]()
    expect(await iterator.next()).toEqual({ done: false, value: 1 })
    controller.abort(new Error("stop reading"))
    await expect(iterator.next()).rejects.toThrow("stop reading")
  })

  it("takes async iterables for streams and passes their errors on", async () => {
    await using shelf = await Facade.make(Shelf, makeLayer())
    const numbers = async function* (fail: boolean) {
      yield 1
      await sleep(1)
      if (fail) throw new Error("source failed")
      yield 2
    }
    expect(await shelf.sum(numbers(false))).toBe(3)
    expect(await shelf.sum(Stream.make(1, 2, 3))).toBe(6)
    await expect(shelf.sum(numbers(true))).rejects.toThrow("source failed")
  })

  it("closes: running calls and streams end, the layer is released, later calls say so", async () => {
    const log: Array<string> = []
    const shelf = await Facade.make(Shelf, makeLayer(log))
    const running = shelf.forever().catch((error: unknown) => error)
    const iterator = shelf.ticks[Symbol.asyncIterator]()
    await iterator.next()
    const pending = iterator.next().catch((error: unknown) => error)
    await shelf[Symbol.asyncDispose]()
    expect(await running).toBeInstanceOf(FacadeError)
    expect(await pending).toBeInstanceOf(FacadeError)
    expect(log).toEqual(["opened", "ticks released", "stopped", "closed"])
    await expect(shelf.get("a")).rejects.toMatchObject({ code: "FacadeError.Unavailable" })
    await shelf[Symbol.asyncDispose]()
    expect(log).toHaveLength(4)
  })

  it("releases the layer also when a stream's clean-up fails", async () => {
    const log: Array<string> = []
    class Numbers extends Context.Service<Numbers, { readonly all: Stream.Stream<number> }>()(
      "test/Numbers/v1",
    ) {}
    const all = Stream.ensuring(Stream.forever(Stream.succeed(1)), Effect.die(new Error("stuck")))
    const layer = Layer.effect(
      Numbers,
      Effect.acquireRelease(Effect.succeed({ all }), () => Effect.sync(() => log.push("closed"))),
    )
    const numbers = await Facade.make(Numbers, layer)
    await numbers.all[Symbol.asyncIterator]().next()
    await expect(numbers[Symbol.asyncDispose]()).rejects.toThrow("stuck")
    expect(log).toEqual(["closed"])
  })

  it("rejects with the layer's error and releases what was opened", async () => {
    const log: Array<string> = []
    const failing = Layer.effectDiscard(
      Effect.fail(new ShelfError({ reason: "NotFound", message: "no disk" })),
    ).pipe(Layer.provideMerge(makeLayer(log)))
    await expect(Facade.make(Shelf, failing)).rejects.toThrow("no disk")
    expect(log).toEqual(["opened", "closed"])
  })

  it("derives a module's make from options, and shares a runtime", async () => {
    const make = Facade.from(Shelf, (options: { readonly log: Array<string> }) =>
      makeLayer(options.log),
    )
    const log: Array<string> = []
    await using shelf = await make({ log })
    expect(await shelf.runtime.runPromise(Shelf.use((service) => service.size))).toBe(3)
    const shared = await Facade.using(shelf.runtime, Shelf)
    expect(await shared.get("a")).toBe(1)
    expect(log).toEqual(["opened"])
  })
})
