/** ONNX Runtime execution providers that really start. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Absent } from "../../Accelerator.ts"
import { answer, type ProbeOptions, program, runCommand } from "./probe.ts"

const Started = Schema.Union([
  Schema.Struct({ started: Schema.Literal(true) }),
  Schema.Struct({ why: Schema.String }),
])

/** Tries each provider in a child of its own. */
export const tryProviders = (
  kind: Absent["kind"],
  providers: ReadonlyArray<string>,
  options: ProbeOptions,
): Effect.Effect<{
  readonly started: ReadonlyArray<string>
  readonly absent: ReadonlyArray<Absent>
}> =>
  Effect.forEach(
    providers,
    Effect.fnUntraced(function* (provider) {
      const command = options.command ?? program("onnxruntimeMain", provider)
      const outcome = yield* runCommand(command, options.timeoutMs ?? 15_000)
      const result = yield* answer(outcome, Started)
      return { provider, why: "why" in result ? result.why : undefined }
    }),
    { concurrency: 2 },
  ).pipe(
    Effect.map((results) => ({
      started: results.flatMap(({ provider, why }) => (why === undefined ? [provider] : [])),
      absent: results.flatMap(({ provider, why }) =>
        why === undefined ? [] : [{ kind, what: `ONNX Runtime provider '${provider}'`, why }],
      ),
    })),
  )
