import { posix } from "node:path"
import { invalid, type RegistryError } from "../../RegistryError.ts"

/** MLflow's limits, in characters. */
export const limits = {
  key: 250,
  param: 6000,
  tag: 8000,
  experimentName: 500,
  experimentTag: 20_000,
  artifactLocation: 2048,
  datasetName: 500,
  datasetDigest: 36,
  datasetSource: 65_535,
  datasetSchema: 1_048_575,
  datasetProfile: 16_777_215,
  inputTagKey: 255,
  inputTag: 500,
} as const

/** A value as Python's JSON has it: without blanks, and in ASCII. */
export const json = (value: unknown): string =>
  (JSON.stringify(value) ?? "null").replace(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )

/** A text as Python shows it. */
export const shown = (text: string): string => {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  const inner = text
    .replaceAll("\\", "\\\\")
    .replaceAll("\n", "\\n")
    .replaceAll("\r", "\\r")
    .replaceAll("\t", "\\t")
  return `${quote}${quote === "'" ? inner.replaceAll("'", "\\'") : inner}${quote}`
}

/** How long a value in a message gets. */
const most = 1000

const refused = (path: string, value: unknown, why: string): RegistryError =>
  invalid(
    path,
    `Invalid value ${json(value).slice(0, most)} for parameter '${path}' supplied: ${why}`,
  )

/** As Python's `posixpath.normpath`. */
const normal = (path: string): string => {
  const text = posix.normalize(path)
  return text.length > 1 && text.endsWith("/") ? text.slice(0, -1) : text
}

/** Whether a name would mean another one as a path. */
export const isAmbiguous = (name: string): boolean => {
  const norm = normal(name)
  return norm !== name || norm === "." || norm.startsWith("..") || norm.startsWith("/")
}

/** Why a key of a metric, param or tag is refused; undefined when it is not. */
export const key = (name: string, path = "key"): RegistryError | undefined => {
  if (!/^[/\p{L}\p{N}_.\- :]*$/u.test(name)) {
    return refused(
      path,
      name,
      "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/).",
    )
  }
  return isAmbiguous(name)
    ? refused(
        path,
        name,
        `Names may be treated as files in certain cases, and must not resolve to other names when treated as such. This name would resolve to ${shown(normal(name)).slice(0, most)}`,
      )
    : undefined
}

/** Why a text is too long; undefined when it is not. */
export const length = (
  what: string,
  limit: number,
  value: string | undefined,
): RegistryError | undefined =>
  value !== undefined && value.length > limit
    ? invalid(what, `'${what}' exceeds the maximum length of ${limit} characters`)
    : undefined

/** Why a tag of an experiment is refused. */
export const experimentTag = (name: string, value: string): RegistryError | undefined =>
  key(name) ?? length("key", limits.key, name) ?? length("value", limits.experimentTag, value)

/** Why the name of an experiment is refused. */
export const experimentName = (name: string): RegistryError | undefined =>
  name === ""
    ? invalid("name", "Invalid experiment name: ''")
    : length("name", limits.experimentName, name)

/** A query whose percent escapes are resolved until nothing changes. */
const decoded = (text: string): string => {
  let current = text
  for (let round = 0; round < 10; round++) {
    let next: string
    try {
      next = decodeURIComponent(current)
    } catch {
      return current
    }
    if (next === current) return current
    current = next
  }
  return current
}

/** Why a place for artifacts is refused. */
export const artifactLocation = (location: string): RegistryError | undefined => {
  const field = "artifact_location"
  const [beforeFragment = "", fragment = ""] = location.split("#", 2)
  const [path = "", query = ""] = beforeFragment.split("?", 2)
  if (fragment !== "" || (path.split("/").at(-1) ?? "").includes(";")) {
    return invalid(field, `'${field}' URL can't include fragments or params.`)
  }
  if (decoded(query).includes("..")) return invalid(field, "Invalid query string")
  if (location.startsWith("runs:")) {
    return invalid(field, `Artifact location cannot be a runs:/ URI. Given: '${location}'`)
  }
  return location.length > limits.artifactLocation
    ? invalid(
        field,
        `Invalid artifact path length. The length of the artifact path cannot be greater than ${limits.artifactLocation} characters. To configure this limit, please set the MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH environment variable.`,
      )
    : undefined
}

/** Why the name of a logged model is refused. */
export const loggedModelName = (name: string): RegistryError | undefined =>
  name === "" || /[/:.%"']/.test(name)
    ? invalid(
        "name",
        `Invalid model name (${shown(name.slice(0, most))}) provided. Model name must be a non-empty string and cannot contain the following characters: ('/', ':', '.', '%', '"', "'")`,
      )
    : undefined

/** A dataset that a run read, as it is to be stored. */
export interface GivenDataset {
  readonly name: string
  readonly digest: string
  readonly source: string
  readonly schema?: string
  readonly profile?: string
  readonly tags: Readonly<Record<string, string>>
}

/** Why a dataset is refused. */
export const dataset = (given: GivenDataset): RegistryError | undefined => {
  const sizes = [
    ["name", limits.datasetName, given.name],
    ["digest", limits.datasetDigest, given.digest],
    ["source", limits.datasetSource, given.source],
    ["schema", limits.datasetSchema, given.schema],
    ["profile", limits.datasetProfile, given.profile],
    ...Object.entries(given.tags).flatMap(([name, value]) => [
      ["key", limits.inputTagKey, name] as const,
      ["value", limits.inputTag, value] as const,
    ]),
  ] as const
  for (const [what, limit, value] of sizes) {
    const wrong = length(what, limit, value)
    if (wrong !== undefined) return wrong
  }
  return undefined
}

const runId = /^[a-zA-Z0-9][\w-]{0,255}$/

/** Why an id of a run is refused. */
export const run = (id: string): RegistryError | undefined =>
  runId.test(id)
    ? undefined
    : invalid("run_id", `Invalid value ${json(id).slice(0, most)} for parameter 'run_id' supplied.`)
