/**
 * The conformance harness: cases that every backend of an SPI must pass, chosen by the backend's
 * capability manifest, run again through the Promise face, and themselves tested against layers
 * that are broken on purpose.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import { describe, expect, it } from "vitest"
import type { Failure, Reason } from "../Failure.ts"
import { using } from "../internal/facade.ts"
import { toService } from "../internal/facadeService.ts"

/** One thing a backend must do. It passes when `run` succeeds. */
export interface Case<I, C> {
  /** Unique in its suite; a sentence about the backend, e.g. `a blob is visible whole or not at all`. */
  readonly name: string
  /** Whether a backend with these capabilities must pass; default: all must. */
  readonly requires?: (capabilities: C) => boolean
  /**
   * What `run` must do when `requires` says no: `NotSupported` means fail with that reason.
   * Without it the case is skipped for such a backend.
   */
  readonly otherwise?: "NotSupported"
  /** False for a case whose operations the Promise face leaves out (a `Scope`, a transaction). */
  readonly promise?: boolean
  /** Gets a backend of its own, built for this case. Leaves nothing behind: use unique names. */
  readonly run: Effect.Effect<unknown, unknown, I | Scope.Scope>
}

/** A backend with a known mistake. */
export interface Broken<I> {
  readonly name: string
  readonly layer: Layer.Layer<I, unknown>
  /** Names of the cases that must not pass on it. */
  readonly mustFail: ReadonlyArray<string>
}

/** What a suite is made of. `R` are services the cases need besides the SPI itself. */
export interface Definition<I, S, C, R = never> {
  readonly spi: Context.Key<I, S>
  /** Reads the capability manifest; default `service.capabilities`. */
  readonly capabilities?: (service: S) => C
  readonly cases: ReadonlyArray<Case<I | R, C>>
  readonly brokenLayers: ReadonlyArray<Broken<I | R>>
}

/** How to run a suite. */
export interface RunOptions {
  /** Longest time one case may take, in milliseconds; default 30000. */
  readonly timeoutMs?: number
  /** Run the cases again through the Promise face; default true. */
  readonly promise?: boolean
}

/** What became of a case. */
export type Outcome =
  | { readonly _tag: "Passed" }
  | { readonly _tag: "Skipped" }
  | { readonly _tag: "Failed"; readonly error: unknown }

/** The cases of an SPI, ready to run against its backends. */
export interface Suite<I, C, R = never> {
  readonly cases: ReadonlyArray<Case<I | R, C>>
  /** Registers vitest tests: every case on this backend, then again through the Promise face. */
  readonly run: (backend: string, layer: Layer.Layer<I | R, unknown>, options?: RunOptions) => void
  /** Registers vitest tests: each broken layer is rejected, and each case rejects some layer. */
  readonly verifyBroken: (options?: RunOptions) => void
  /** Runs one case on one backend and tells what became of it. Rejects when the layer fails. */
  readonly check: (
    name: string,
    layer: Layer.Layer<I | R, unknown>,
    options?: RunOptions & { readonly face?: "effect" | "promise" },
  ) => Promise<Outcome>
}

const reasonOf = (error: unknown): unknown =>
  typeof error === "object" && error !== null && "reason" in error ? error.reason : undefined

const expectNotSupported = (exit: Exit.Exit<unknown, unknown>): Outcome => {
  if (Exit.isSuccess(exit)) {
    return {
      _tag: "Failed",
      error: new Error(
        "the backend does not declare this capability, yet the operation succeeded; " +
          "declare it, or fail with reason NotSupported",
      ),
    }
  }
  const error = Cause.squash(exit.cause)
  return reasonOf(error) === "NotSupported" ? { _tag: "Passed" } : { _tag: "Failed", error }
}

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome =>
  Exit.isSuccess(exit) ? { _tag: "Passed" } : { _tag: "Failed", error: Cause.squash(exit.cause) }

/**
 * Defines the suite of an SPI; its package publishes it as `<Spi>Suite`.
 *
 * @example
 * ```ts no-run
 * import { BlobStore } from "@ashlar/core"
 * import * as Memory from "@ashlar/core/memory"
 * import { Conformance } from "@ashlar/core/testing"
 *
 * const suite = Conformance.define({
 *   spi: BlobStore.BlobStore,
 *   capabilities: (store) => store.capabilities,
 *   cases: [
 *     {
 *       name: "a key without a blob is NotFound",
 *       run: BlobStore.BlobStore.use((store) => Conformance.fails(store.head("none"), "NotFound")),
 *     },
 *     {
 *       name: "presigns a URL",
 *       requires: (capabilities) => capabilities.presignedUrls,
 *       otherwise: "NotSupported",
 *       run: BlobStore.BlobStore.use((store) =>
 *         store.presign("key", { method: "GET", expiresSeconds: 60 }),
 *       ),
 *     },
 *   ],
 *   brokenLayers: [],
 * })
 *
 * suite.run("memory", Memory.layer)
 * suite.verifyBroken()
 * ```
 */
export const define = <I, S extends object, C, R = never>(
  definition: Definition<I, S, C, R>,
): Suite<I, C, R> => {
  const { cases, brokenLayers, spi } = definition
  const byName = new Map(cases.map((each) => [each.name, each]))
  if (byName.size !== cases.length) throw new Error(`${spi.key}: two cases have the same name`)

  const capabilitiesOf = (service: S): C =>
    definition.capabilities === undefined
      ? (Reflect.get(service, "capabilities") as C)
      : definition.capabilities(service)

  const runOn = async (
    one: Case<I | R, C>,
    layer: Layer.Layer<I | R, unknown>,
    timeoutMs: number,
    face: "effect" | "promise",
  ): Promise<Outcome> => {
    const runtime = ManagedRuntime.make(layer)
    try {
      const context = await runtime.context()
      const service = Context.get(context as Context.Context<I>, spi)
      const declared = one.requires?.(capabilitiesOf(service)) ?? true
      if (!declared && one.otherwise === undefined) return { _tag: "Skipped" }
      const effect = Effect.scoped(one.run).pipe(
        Effect.timeoutOrElse({
          duration: timeoutMs,
          orElse: () => Effect.die(new Error(`"${one.name}" took longer than ${timeoutMs} ms`)),
        }),
      )
      const exit = await runtime.runPromiseExit(
        face === "effect"
          ? effect
          : Effect.provideService(effect, spi, toService(service, await using(runtime, spi))),
      )
      return declared ? outcomeOf(exit) : expectNotSupported(exit)
    } finally {
      await runtime.dispose()
    }
  }

  const caseNamed = (name: string): Case<I | R, C> => {
    const found = byName.get(name)
    if (found === undefined) throw new Error(`${spi.key} has no conformance case "${name}"`)
    return found
  }

  const register = (
    layer: Layer.Layer<I | R, unknown>,
    options: RunOptions,
    face: "effect" | "promise",
  ) => {
    const timeoutMs = options.timeoutMs ?? 30_000
    for (const one of cases) {
      if (face === "promise" && one.promise === false) continue
      it(`${one.name}`, { timeout: timeoutMs + 15_000 }, async (context) => {
        const outcome = await runOn(one, layer, timeoutMs, face)
        if (outcome._tag === "Skipped") context.skip("the backend does not declare this capability")
        if (outcome._tag === "Failed") throw outcome.error
        expect(outcome).toEqual({ _tag: "Passed" })
      })
    }
  }

  return {
    cases,
    run: (backend, layer, options = {}) => {
      describe(`${spi.key}: ${backend}`, () => {
        register(layer, options, "effect")
      })
      if (options.promise === false) return
      describe(`${spi.key}: ${backend}, through the Promise face`, () => {
        register(layer, options, "promise")
      })
    },
    verifyBroken: (options = {}) => {
      describe(`${spi.key}: broken backends are rejected`, () => {
        const timeoutMs = options.timeoutMs ?? 5_000
        for (const broken of brokenLayers) {
          for (const name of broken.mustFail) {
            const one = caseNamed(name)
            it(`${broken.name}: ${name}`, { timeout: timeoutMs + 15_000 }, async () => {
              const outcome = await runOn(one, broken.layer, timeoutMs, "effect")
              expect(outcome._tag, "the case must reject this layer").toBe("Failed")
            })
          }
        }
        it("every case rejects at least one of them", () => {
          const proven = new Set(brokenLayers.flatMap((broken) => broken.mustFail))
          const vacuous = cases.filter((one) => !proven.has(one.name)).map((one) => one.name)
          expect(vacuous, "cases that no broken layer fails").toEqual([])
        })
      })
    },
    check: async (name, layer, options = {}) =>
      runOn(caseNamed(name), layer, options.timeoutMs ?? 30_000, options.face ?? "effect"),
  }
}

/** Succeeds with the error when the effect fails with this reason; dies otherwise. */
export const fails = <A, R>(
  effect: Effect.Effect<A, unknown, R>,
  reason: Reason,
): Effect.Effect<Failure, never, R> =>
  Effect.flatMap(Effect.exit(effect), (exit) => {
    if (Exit.isSuccess(exit)) {
      return Effect.die(new Error(`expected a failure with reason ${reason}, but it succeeded`))
    }
    const error = Cause.squash(exit.cause)
    if (reasonOf(error) === reason && Cause.hasFails(exit.cause)) {
      return Effect.succeed(error as Failure)
    }
    return Effect.die(new Error(`expected a failure with reason ${reason}`, { cause: error }))
  })

/** Dies with the message unless the condition holds. */
export const ensure = (condition: boolean, message: string): Effect.Effect<void> =>
  condition ? Effect.void : Effect.die(new Error(message))

/** Dies, showing both, unless the values are deeply equal. */
export const equal = <A>(actual: A, expected: A, what: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (isDeepStrictEqual(actual, expected)) return Effect.void
    return Effect.die(
      Object.assign(new Error(`${what}: not what was expected`), { actual, expected }),
    )
  })
