/**
 * Runs the function of a `Call`, in whatever thread or process this is.
 *
 * @module
 */
import type * as Schema from "effect/Schema"
import { isFailure } from "../../Failure.ts"

/** Which function, and with what. */
export interface Invocation {
  readonly module: string
  readonly function: string
  readonly input: unknown
}

/** What came of it; the output is JSON. */
export type Reply =
  | { readonly ok: true; readonly output: Schema.Json }
  | { readonly ok: false; readonly message: string }

const describe = (error: unknown): string => {
  if (isFailure(error)) return `${error._tag}.${error.reason}: ${error.message}`
  if (error instanceof Error) return `${error.name}: ${error.message}`
  return `the function threw ${String(error)}`
}

/** Loads the module, calls its export, and returns JSON or the reason it failed. Never throws. */
export const invoke = async (
  call: Invocation,
  context: { readonly signal: AbortSignal; readonly log: (line: string) => void },
): Promise<Reply> => {
  try {
    const exports: unknown = await import(call.module)
    const found: unknown =
      typeof exports === "object" && exports !== null && Object.hasOwn(exports, call.function)
        ? Reflect.get(exports, call.function)
        : undefined
    if (typeof found !== "function") {
      return {
        ok: false,
        message: `${call.module} exports no function '${call.function}'; export it, or correct task.function.`,
      }
    }
    const output: unknown = await Reflect.apply(found, undefined, [call.input, context])
    const json: unknown = JSON.stringify(output === undefined ? null : output)
    if (typeof json !== "string") {
      return { ok: false, message: `'${call.function}' returned a value that JSON cannot carry.` }
    }
    return { ok: true, output: JSON.parse(json) as Schema.Json }
  } catch (error) {
    return { ok: false, message: describe(error) }
  }
}
