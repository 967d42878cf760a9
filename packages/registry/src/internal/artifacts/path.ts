import * as Effect from "effect/Effect"
import { invalid, type RegistryError } from "../../RegistryError.ts"

const encoded = /(?:%[0-9a-f]{2})+/gi

/** What is left when nothing of it is percent-encoded any more; some clients encode twice. */
const decode = (text: string): string | undefined => {
  let current = text
  for (let i = 0; i < 10; i++) {
    const next = current.replace(encoded, (run) =>
      Buffer.from(run.replaceAll("%", ""), "hex").toString("utf8"),
    )
    if (next === current) return current
    current = next
  }
  return undefined
}

/** Why MLflow refuses a decoded path, in its words. */
const isUnsafe = (path: string): boolean =>
  path.includes("#") ||
  path.startsWith("/") ||
  /^file:/i.test(path) ||
  /^[a-z]:[\\/]/i.test(path) ||
  path.startsWith("\\") ||
  path.split("/").includes("..")

const ruleOf = (path: string): string | undefined => {
  if (path.includes("\\")) return "has no backslash: names are separated by '/'"
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  if (/[\u0000-\u001f\u007f]/.test(path)) return "has no control characters"
  if (!path.isWellFormed() || path.includes("\ufffd")) return "is valid UTF-8"
  return Buffer.byteLength(path) > 1024 ? "has at most 1024 bytes" : undefined
}

/**
 * A path in the tree of files, from one that a client sent: decoded, relative, without `.`, `..` and
 * empty names. What MLflow refuses is refused in its words. `""` is the root.
 */
export const parse = (field: string, given: string): Effect.Effect<string, RegistryError> => {
  const decoded = given.length > 8192 ? undefined : decode(given)
  if (decoded === undefined || isUnsafe(decoded)) {
    return Effect.fail(invalid(field, "Invalid path"))
  }
  const path = decoded
    .split("/")
    .filter((name) => name !== "" && name !== ".")
    .join("/")
  // What is left of `./file:x`.
  if (isUnsafe(path)) return Effect.fail(invalid(field, "Invalid path"))
  const rule = ruleOf(path)
  return rule === undefined
    ? Effect.succeed(path)
    : Effect.fail(
        invalid(field, `Invalid path ${JSON.stringify(path.slice(0, 200))}: a path ${rule}`),
      )
}

/** The same of a file, which has a name. */
export const parseFile = (field: string, given: string): Effect.Effect<string, RegistryError> =>
  Effect.flatMap(parse(field, given), (path) =>
    path === ""
      ? Effect.fail(invalid(field, "Invalid path: it names no file"))
      : Effect.succeed(path),
  )

/** A path below another one; either may be `""`. */
export const join = (above: string, below: string): string =>
  above === "" ? below : below === "" ? above : `${above}/${below}`

/** The directories above a path. */
export const above = (path: string): ReadonlyArray<string> => {
  const names = path.split("/")
  return names.slice(1).map((_, i) => names.slice(0, i + 1).join("/"))
}

/** The last name of a path that may be of another operating system. */
export const basename = (path: string): string => path.split(/[/\\]/).at(-1) ?? ""

/** Bounds of the paths below a directory: at least the first, less than the second. */
export const below = (directory: string): readonly [string, string] | undefined =>
  // '0' follows '/' in every order this is asked in.
  directory === "" ? undefined : [`${directory}/`, `${directory}0`]

/** Where in the tree the files of an artifact URI are; `undefined` when they are elsewhere. */
export const ofUri = (uri: string): string | undefined => {
  const match = /^mlflow-artifacts:(?:\/\/[^/]*)?\/*(.*)$/.exec(uri)
  return match?.[1]?.replace(/\/+$/, "")
}
