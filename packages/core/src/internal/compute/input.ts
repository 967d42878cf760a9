/**
 * Decodes what callers of a Compute backend pass. Every function throws a `ComputeError`.
 *
 * @module
 */
import * as Schema from "effect/Schema"
import type { ComputeCapabilities } from "../../Compute.ts"
import { JobSpec } from "../../Job.ts"
import { decodeToken, type PageRequest } from "../../Page.ts"
import { invalid, notSupported } from "./failure.ts"

const decodeSpec = Schema.decodeUnknownSync(JobSpec)

const atLeast = (field: string, value: number | undefined, minimum: number) => {
  if (value !== undefined && value < minimum) {
    throw invalid(field, `${field} is ${value}; it must be at least ${minimum}.`)
  }
}

// setTimeout fires at once beyond this.
const longest = 2 ** 31 - 1
const millis = (field: string, value: number | undefined, minimum: number) => {
  atLeast(field, value, minimum)
  if (value !== undefined && value > longest) {
    throw invalid(field, `${field} is ${value}; at most ${longest} ms (24 days) are possible.`)
  }
}

/** A job this backend can run. */
export const job = (
  value: unknown,
  backend: {
    readonly name: string
    readonly cpus: number
    readonly capabilities: ComputeCapabilities
  },
): JobSpec => {
  let spec: JobSpec
  try {
    spec = decodeSpec(value)
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause)
    throw invalid("job", `Invalid job: ${detail}. Correct it and submit again.`, cause)
  }
  id(spec.id)
  const { task, resources = {}, retry } = spec
  if (!backend.capabilities.tasks.includes(task._tag)) {
    throw notSupported(backend.name, `${task._tag} tasks`, "task._tag")
  }
  if (task._tag === "Call" && !task.module.startsWith("file:///")) {
    throw invalid(
      "task.module",
      `task.module is '${task.module}'; give the module's file: URL, e.g. from import.meta.resolve.`,
    )
  }
  const texts =
    task._tag === "Command" ? [...task.argv, ...Object.entries(task.env ?? {}).flat()] : []
  if (texts.some((text) => text.includes("\0"))) {
    throw invalid("task", "argv and env cannot hold NUL characters; remove them.")
  }
  const { cpus = 1, memoryMb, gpus = 0 } = resources
  if (!(cpus > 0 && cpus <= backend.cpus)) {
    throw invalid(
      "resources.cpus",
      `resources.cpus is ${cpus}, but '${backend.name}' has ${backend.cpus}; ask for more than 0 and no more than that.`,
    )
  }
  atLeast("resources.gpus", gpus, 0)
  if (gpus > 0) throw notSupported(backend.name, "GPUs to grant", "resources.gpus")
  atLeast("resources.memoryMb", memoryMb, 1)
  if (memoryMb !== undefined && !backend.capabilities.memoryLimit) {
    throw notSupported(backend.name, "memory limit", "resources.memoryMb")
  }
  millis("timeoutMs", spec.timeoutMs, 1)
  millis("graceMs", spec.graceMs, 0)
  atLeast("retry.attempts", retry?.attempts, 1)
  millis("retry.backoffMs", retry?.backoffMs, 0)
  millis("retry.maxBackoffMs", retry?.maxBackoffMs, 0)
  return spec
}

/** A job's id. */
export const id = (value: unknown): string => {
  const isId = typeof value === "string" && value !== "" && value.length <= 512
  if (isId && value.isWellFormed()) return value
  throw invalid(
    "id",
    "A job's id is a string of 1 to 512 characters; pass the id it was submitted with.",
  )
}

const decodePage = Schema.decodeUnknownSync(
  Schema.Struct({
    limit: Schema.optional(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 }))),
    token: Schema.optional(Schema.String),
  }),
)

/** The page's size, and the job after which it starts. */
export const page = (
  value: PageRequest | undefined,
): { readonly limit: number; readonly after: readonly [number, string] | undefined } => {
  let request: PageRequest & { readonly token?: string | undefined }
  try {
    request = decodePage(value ?? {}) as PageRequest
  } catch (cause) {
    throw invalid(
      "page",
      "A page has a limit of 1 to 1000 and a token from the page before.",
      cause,
    )
  }
  const { limit = 100, token } = request
  if (token === undefined) return { limit, after: undefined }
  const [submitted, after] = decodeToken(token) ?? []
  if (typeof submitted !== "number" || typeof after !== "string") {
    throw invalid(
      "page.token",
      "This page token is malformed; pass the `next` of the previous page.",
    )
  }
  return { limit, after: [submitted, after] }
}
