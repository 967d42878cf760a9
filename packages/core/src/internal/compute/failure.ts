/**
 * The errors of the local compute backends.
 *
 * @module
 */
import { ComputeError } from "../../Compute.ts"

/** No such job. */
export const notFound = (id: string): ComputeError =>
  new ComputeError({
    reason: "NotFound",
    message: `No job with id '${id}'; list the jobs to see which there are.`,
    field: "id",
  })

/** The backend was closed in the meantime. */
export const closed = (): ComputeError =>
  new ComputeError({
    reason: "Unavailable",
    message: "This compute backend was closed; open it again to ask for the job.",
  })

/** Something in a job that the backend or the contract refuses. */
export const invalid = (field: string, message: string, cause?: unknown): ComputeError =>
  new ComputeError({
    reason: "InvalidInput",
    message,
    field,
    ...(cause === undefined ? {} : { cause }),
  })

/** Something the backend does not do. */
export const notSupported = (backend: string, what: string, field: string): ComputeError =>
  new ComputeError({
    reason: "NotSupported",
    message: `Compute '${backend}' has no ${what}; check its capabilities, or use a backend that has it.`,
    field,
  })

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : ""

/** The typed error for anything thrown. */
export const wrap = (cause: unknown): ComputeError => {
  if (cause instanceof ComputeError) return cause
  const message = cause instanceof Error ? cause.message : String(cause)
  const code = codeOf(cause)
  if (["ENOSPC", "EDQUOT", "EFBIG"].includes(code)) {
    return new ComputeError({
      reason: "OutOfSpace",
      message: `${message}: the disk or quota is full; free some space.`,
      cause,
    })
  }
  if (code !== "") {
    return new ComputeError({
      reason: "Unavailable",
      message: `${message}: check the directory that holds the jobs.`,
      cause,
    })
  }
  return new ComputeError({
    reason: "Internal",
    message: `The compute backend failed unexpectedly: ${message}. This is a defect; report it.`,
    cause,
  })
}
