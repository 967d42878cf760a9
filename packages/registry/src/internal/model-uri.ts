import { posix } from "node:path"
import { invalid, type RegistryError } from "../RegistryError.ts"

/** A URI in its parts; those that are missing are empty. */
export interface Uri {
  /** In lower case. */
  readonly scheme: string
  readonly host: string
  /** With its percent escapes. */
  readonly path: string
}

/** Splits a URI as Python's `urlparse` does. */
export const split = (uri: string): Uri => {
  const [, scheme = "", rest = ""] = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?([^]*)$/.exec(uri) ?? []
  const [, host = "", path = ""] = /^(?:\/\/([^/?#]*))?([^?#]*)/.exec(rest) ?? []
  return { scheme: scheme.toLowerCase(), host, path }
}

/** A text whose percent escapes, also escaped ones, are resolved. */
export const unquoted = (text: string, plus = false): string => {
  let current = text
  // Each round makes the text shorter, or nothing changes but '+'.
  for (;;) {
    const next = (plus ? current.replaceAll("+", " ") : current).replace(
      /(?:%[0-9A-Fa-f]{2})+/g,
      (escapes) => Buffer.from(escapes.replaceAll("%", ""), "hex").toString("utf8"),
    )
    if (next === current) return current
    current = next
  }
}

/** What a `models:/` URI names. */
export type ModelUri =
  | { readonly kind: "logged"; readonly id: string }
  | { readonly kind: "version"; readonly name: string; readonly version: number }
  | { readonly kind: "alias"; readonly name: string; readonly alias: string }
  | { readonly kind: "stage"; readonly name: string; readonly stage: string }
  | { readonly kind: "latest"; readonly name: string }

/** Reads a `models:/` URI; undefined when it is none. */
export const model = (uri: string): ModelUri | undefined => {
  const { scheme } = split(uri)
  // A fragment belongs to the path here.
  const path =
    uri
      .slice(scheme.length + 1)
      .replace(/^\/\/[^/]*/, "")
      .split("?", 1)[0] ?? ""
  if (scheme !== "models" || !path.startsWith("/") || path.length < 2) return undefined
  const [name = "", suffix, ...more] = path.replace(/^\/+/, "").split("/")
  if (name.trim() === "" || more.length > 0) return undefined
  if (suffix === undefined) {
    const at = name.lastIndexOf("@")
    if (at < 0) return { kind: "logged", id: name }
    const alias = name.slice(at + 1)
    return alias.trim() === "" ? undefined : { kind: "alias", name: name.slice(0, at), alias }
  }
  if (suffix.trim() === "") return undefined
  if (/^\d+$/.test(suffix)) return { kind: "version", name, version: Number(suffix) }
  return suffix.toLowerCase() === "latest"
    ? { kind: "latest", name }
    : { kind: "stage", name, stage: suffix }
}

/** The run and the path of a `runs:/` URI; undefined when it is none. */
export const run = (uri: string): { readonly id: string; readonly path: string } | undefined => {
  const { scheme, path } = split(uri)
  const [id = "", ...rest] = path.slice(1).split("/")
  return scheme !== "runs" || !path.startsWith("/") || id === ""
    ? undefined
    : { id, path: rest.join("/") }
}

const most = 1000
const refused = (source: string, why: string): RegistryError =>
  invalid("source", `Invalid model version source: '${source.slice(0, most)}'. ${why}`)

/** A source that names what the request does not. */
export const notContained = (source: string, parameter: "run_id" | "model_id"): RegistryError =>
  refused(
    source,
    `The ${parameter} request parameter must identify the resource that contains the source.`,
  )

/** A source that is another version, which the request contradicts. */
export const contradicted = (source: string): RegistryError =>
  refused(
    source,
    "The run_id and model_id request parameters must match the referenced model version.",
  )

/** A prompt is no model. */
export const promptSource = (source: string): RegistryError =>
  refused(source, "Prompt versions cannot be used as model version sources.")

/** Another registry cannot be asked. */
export const foreignRegistry = (source: string): RegistryError =>
  refused(source, "Registered model sources must use the active model registry.")

/** What MLflow's clients say where a prompt has no files. */
const placeholders = ["dummy-source", "prompt-template"]

/** Why the source of a prompt is refused; undefined when it is not. */
export const wrongPromptSource = (source: string): RegistryError | undefined =>
  placeholders.includes(source)
    ? undefined
    : invalid(
        "source",
        `Invalid prompt source: '${source.slice(0, most)}'. Prompt sources must use an MLflow placeholder.`,
      )

/** Schemes by which a server would connect to whatever host the URI names. */
const hostAddressed = ["ftp", "sftp", "hdfs", "viewfs", "http", "https", "r2", "b2", "abfss"]

/** Why the scheme of a source is refused; undefined when it is not. */
export const wrongScheme = (source: string): RegistryError | undefined => {
  const { scheme, host } = split(source)
  return hostAddressed.includes(scheme) || (scheme === "mlflow-artifacts" && host !== "")
    ? invalid(
        "source",
        `'source' cannot use the '${scheme}' scheme: the '${scheme}' scheme addresses a host other than the tracking server's configured artifact storage, so the server would connect to the host named in the URI. Register from this server's artifacts or from an object store.`,
      )
    : undefined
}

/** Whether a URI is a path of the server's own disk. */
export const isLocal = (uri: string): boolean => {
  const { scheme } = split(uri)
  return scheme === "" || scheme === "file"
}

/** The path of a local URI, without tricks. */
const localPath = (uri: string): string => posix.resolve("/", unquoted(split(uri).path))

/** Why a local source is refused: it must lie below the artifacts of what the request names. */
export const wrongLocal = (
  source: string,
  parameter: "run_id" | "model_id",
  root: string | undefined,
): RegistryError | undefined => {
  const path = localPath(source)
  // A relative path would mean the server's own directory.
  const isAbsolute = unquoted(split(source).path).startsWith("/")
  if (isAbsolute && root !== undefined && isLocal(root)) {
    const allowed = localPath(root)
    if (path === allowed || path.startsWith(`${allowed.replace(/\/$/, "")}/`)) return undefined
  }
  const shown = root === undefined ? source : path
  return refused(
    shown,
    `To use a local path as a model version source, the ${parameter} request parameter has to be specified and the local path has to be contained within the artifact directory of the run specified by the ${parameter}.`,
  )
}

/** Why a source that is no local path is refused: it must be absolute, without `.` and `..`. */
export const wrongPath = (source: string): RegistryError | undefined => {
  const text = unquoted(source, true)
  const path = split(text).path.replace(/\/+$/, "").replaceAll(/\/+/g, "/")
  const bad =
    text.includes("\0") ||
    text.split(/[/\\?#&=;]/).includes("..") ||
    !path.startsWith("/") ||
    posix.normalize(path) !== path
  return bad
    ? refused(
        source,
        "If supplying a source as an http, https, local file path, ftp, objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path references present. Please provide an absolute path.",
      )
    : undefined
}

const parts = (uri: string): ReadonlyArray<string> =>
  split(uri)
    .path.split("/")
    .filter((part) => part !== "")
    .map((part) => unquoted(part))

/** Whether a URI lies at or below another one. */
export const isWithin = (uri: string, root: string): boolean => {
  const [a, b] = [split(uri), split(root)]
  const above = parts(root)
  const below = parts(uri)
  return (
    a.scheme === b.scheme &&
    a.host.toLowerCase() === b.host.toLowerCase() &&
    above.length > 0 &&
    above.every((part, i) => below[i] === part)
  )
}

/** The path below this server's artifacts; undefined for a URI of another place. */
export const proxied = (uri: string): string | undefined => {
  const { scheme, host } = split(uri)
  return scheme === "mlflow-artifacts" && host === "" ? parts(uri).join("/") : undefined
}
