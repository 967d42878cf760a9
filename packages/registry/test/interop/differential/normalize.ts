import { isDeepStrictEqual } from "node:util"
import type { Case } from "./cases.ts"
import { type Answer, valueOf, type Variables } from "./transport.ts"

/** An answer without what two servers cannot have in common: ids, tokens, times, invented names. */
export interface Normal {
  readonly status: number
  readonly code: string | undefined
  readonly message: string | undefined
  readonly body: unknown
  readonly headers: Readonly<Record<string, unknown>>
}

/** What can differ between two answers. */
export type Aspect = "status" | "code" | "message" | "body" | "headers"

const day = 86_400_000

/** Names that servers invent: adjective-noun-number. */
const invented = /^[a-z]+-[a-z]+-\d+$/

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&")

/** Replaces ids: long ones wherever they stand, short ones only where an id is meant. */
const withoutIds = (text: string, key: string, variables: Variables): string => {
  let result = text
  const longestFirst = [...variables].sort(([, a], [, b]) => b.length - a.length)
  for (const [name, value] of longestFirst) {
    if (value === "") continue
    const shown = `{{${name}}}`
    const isExact = result === value && /_ids?$/.test(key)
    if (isExact) return shown
    if (value.length >= 12) result = result.replaceAll(value, shown)
    else if (/^(exp|experiment)/.test(name)) {
      const id = escaped(value)
      result = result
        .replace(new RegExp(`(mlflow-artifacts:/|artifacts/|')${id}(?=/|$)`, "g"), `$1${shown}`)
        .replace(
          new RegExp(`(experiment[ _]?(?:with )?(?:ids?)?\\W{1,5})${id}(?!\\w)`, "gi"),
          `$1${shown}`,
        )
    }
  }
  return result
    .replace(/\bm-[0-9a-f]{32}\b/g, "<model id>")
    .replace(/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, "<id>")
    .replace(/\b[0-9a-f]{32}\b/g, "<id>")
    .replace(/http:\/\/(127\.0\.0\.1|localhost):\d+/g, "<server>")
}

const isPair = (item: unknown): item is { readonly key: string } =>
  typeof item === "object" && item !== null && typeof Reflect.get(item, "key") === "string"

const byText = (a: unknown, b: unknown): number => {
  const [first, second] = [JSON.stringify(a), JSON.stringify(b)]
  return first < second ? -1 : first > second ? 1 : 0
}

/** Lists of tags, parameters and latest metrics have no order in MLflow; histories have. */
const isUnordered = (key: string, list: ReadonlyArray<unknown>): boolean =>
  ["tags", "params"].includes(key) ||
  (key === "metrics" && new Set(list.filter(isPair).map((item) => item.key)).size === list.length)

const normalized = (value: unknown, key: string, variables: Variables): unknown => {
  if (Array.isArray(value)) {
    const items: ReadonlyArray<unknown> = value.map((item) => normalized(item, key, variables))
    return isUnordered(key, items) && items.every(isPair) ? [...items].sort(byText) : items
  }
  if (typeof value === "object" && value !== null) {
    const named = Reflect.get(value, "key") === "mlflow.runName" ? "run_name" : undefined
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [
        name,
        normalized(item, named !== undefined && name === "value" ? named : name, variables),
      ]),
    )
  }
  if (typeof value === "number") {
    const isNow = /time/.test(key) && Math.abs(value - Date.now()) < day
    return isNow ? "<now>" : value
  }
  if (typeof value !== "string") return value
  if (key === "next_page_token" && value !== "") return "<token>"
  if (["run_name", "name"].includes(key) && invented.test(value)) return "<invented name>"
  const text = withoutIds(value, key, variables)
  // Ours are no numbers.
  return key === "experiment_id" && /^[1-9]\d*$/.test(text) ? "<id>" : text
}

const isError = (
  value: unknown,
): value is { readonly error_code: string; readonly message?: unknown } =>
  typeof value === "object" &&
  value !== null &&
  typeof Reflect.get(value, "error_code") === "string"

/** Makes an answer comparable. */
export const normalize = (asked: Case, answer: Answer, variables: Variables): Normal => {
  const value = normalized(valueOf(answer), "", variables)
  const headers = Object.fromEntries(
    (asked.compared ?? []).map((name) => [
      name,
      name === "content-type"
        ? String(answer.headers[name]).split(";", 1)[0]
        : answer.headers[name],
    ]),
  )
  return isError(value)
    ? {
        status: answer.status,
        code: value.error_code,
        message: typeof value.message === "string" ? value.message : undefined,
        body: undefined,
        headers,
      }
    : { status: answer.status, code: undefined, message: undefined, body: value, headers }
}

/** In which aspects two answers differ. */
export const differences = (theirs: Normal, ours: Normal): ReadonlyArray<Aspect> =>
  (["status", "code", "message", "body", "headers"] as const).filter(
    (aspect) => !isDeepStrictEqual(theirs[aspect], ours[aspect]),
  )
