import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { Auth, AuthError, type Scope } from "../../Auth.ts"
import * as Id from "../../Id.ts"
import { layer as sqlite } from "../../sqlite.ts"
import { type Broken, type Case, ensure, equal, fails } from "../../testing/Conformance.ts"
import * as Timestamp from "../../Timestamp.ts"
import { layer as tokens } from "../../tokens.ts"

const scopes: ReadonlyArray<Scope> = [
  { project: "fraud", verb: "write" },
  { project: "*", verb: "read" },
]
const request = () => ({ principal: `ada-${Id.make()}`, scopes })

/** What every Auth backend must do. */
export const cases: ReadonlyArray<Case<Auth, object>> = [
  {
    name: "a new token is recognised with its principal and scopes",
    run: Effect.gen(function* () {
      const auth = yield* Auth
      const wanted = request()
      const made = yield* auth.createToken(wanted)
      const text = Redacted.value(made.token)
      yield* ensure(text.startsWith(`ash_${made.id}_`), "the token carries its id")
      yield* ensure(text.length >= 50, "the secret is long")
      const caller = yield* auth.verify(made.token)
      const expected = { name: wanted.principal, scopes, tokenId: made.id }
      yield* equal({ ...caller }, expected, "the principal")
    }),
  },
  {
    name: "any other text is Unauthenticated",
    run: Effect.gen(function* () {
      const auth = yield* Auth
      const [a, b] = [yield* auth.createToken(request()), yield* auth.createToken(request())]
      const [textA, textB] = [Redacted.value(a.token), Redacted.value(b.token)]
      const other = textA.at(-2) === "x" ? "y" : "x"
      for (const bad of [
        "",
        "ash_",
        textA.slice(0, -1),
        `${textA}a`,
        `${textA.slice(0, -2)}${other}${textA.slice(-1)}`,
        textA.slice(0, `ash_${a.id}_`.length) + textB.slice(`ash_${b.id}_`.length),
        `ash_${"0".repeat(a.id.length)}_${textA.slice(`ash_${a.id}_`.length)}`,
        textA.toUpperCase(),
      ]) {
        yield* fails(auth.verify(Redacted.make(bad)), "Unauthenticated")
      }
    }),
  },
  {
    name: "an expired token is Unauthenticated",
    run: Effect.gen(function* () {
      const auth = yield* Auth
      const expires = Timestamp.now() + 1_000_000
      const made = yield* auth.createToken({ ...request(), expires })
      yield* auth.verify(made.token)
      yield* Effect.sleep(1_050)
      yield* fails(auth.verify(made.token), "Unauthenticated")
    }),
  },
  {
    name: "a revoked token is Unauthenticated at once",
    run: Effect.gen(function* () {
      const auth = yield* Auth
      const made = yield* auth.createToken(request())
      yield* auth.verify(made.token)
      yield* auth.revoke(made.id)
      yield* fails(auth.verify(made.token), "Unauthenticated")
      yield* auth.revoke(made.id)
      yield* fails(auth.revoke("nothing"), "NotFound")
    }),
  },
  {
    name: "the list shows every token and no secret",
    run: Effect.gen(function* () {
      const auth = yield* Auth
      const made = yield* auth.createToken(request())
      yield* auth.revoke(made.id)
      const list = yield* auth.list
      const found = list.find(({ id }) => id === made.id)
      yield* equal(found?.principal, made.principal, "the principal")
      yield* ensure(typeof found?.revoked === "number", "it says when it was revoked")
      const secret = Redacted.value(made.token).slice(`ash_${made.id}_`.length)
      yield* ensure(!JSON.stringify(list).includes(secret), "the secret is not in the list")
    }),
  },
  {
    name: "a wrong request is InvalidInput",
    run: Effect.gen(function* () {
      const auth = yield* Auth
      for (const bad of [
        { ...request(), principal: "" },
        { ...request(), scopes: [] },
        { ...request(), scopes: [{ project: "a/b", verb: "read" }] },
        { ...request(), scopes: [{ project: "a", verb: "own" }] },
        { ...request(), expires: 1 },
      ]) {
        yield* fails(
          auth.createToken(bad as Parameters<typeof auth.createToken>[0]),
          "InvalidInput",
        )
      }
    }),
  },
]

type Service = Auth["Service"]

const broken = (
  name: string,
  change: (auth: Service) => Partial<Service>,
  mustFail: ReadonlyArray<string>,
): Broken<Auth> => ({
  name,
  layer: Layer.effect(
    Auth,
    Effect.map(Auth, (auth): Service => ({ ...auth, ...change(auth) })),
  ).pipe(Layer.provide(tokens()), Layer.provide(sqlite({ file: ":memory:" }))),
  mustFail,
})

/** Auth backends with a known mistake each. */
export const brokenLayers: ReadonlyArray<Broken<Auth>> = [
  broken(
    "only the id is compared",
    (auth) => ({
      verify: (token) => {
        const id = Redacted.value(token).split("_")[1] ?? ""
        return Effect.flatMap(auth.list, (list) => {
          const found = list.find((info) => info.id === id && info.expires === undefined)
          return found === undefined
            ? auth.verify(token)
            : Effect.succeed({ name: found.principal, scopes: found.scopes, tokenId: id })
        })
      },
    }),
    ["any other text is Unauthenticated", "a revoked token is Unauthenticated at once"],
  ),
  broken(
    "expiry not stored",
    (auth) => ({
      createToken: ({ principal, scopes: wanted }) =>
        auth.createToken({ principal, scopes: wanted }),
    }),
    ["an expired token is Unauthenticated", "a wrong request is InvalidInput"],
  ),
  broken(
    "scopes lost",
    (auth) => ({
      verify: (token) => Effect.map(auth.verify(token), (caller) => ({ ...caller, scopes: [] })),
    }),
    ["a new token is recognised with its principal and scopes"],
  ),
  broken(
    "revoked tokens left out of the list",
    (auth) => ({
      list: Effect.map(auth.list, (list) => list.filter(({ revoked }) => revoked === undefined)),
      revoke: (id) =>
        Effect.mapError(
          auth.revoke(id),
          (cause) => new AuthError({ reason: "Internal", message: "failed", cause }),
        ),
    }),
    ["the list shows every token and no secret", "a revoked token is Unauthenticated at once"],
  ),
]
