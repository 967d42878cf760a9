/**
 * The requests that both servers answer. Names in `{{ }}` stand for what earlier answers held, which
 * differs between the servers: ids, versions, page tokens.
 *
 * @module
 */

/** Methods of HTTP. */
export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE"

/** A query string, with repeated keys where the protocol repeats them. */
export type Query = Readonly<Record<string, string | number | ReadonlyArray<string | number>>>

/** What a case adds to its method, path and body. */
export interface Extra {
  readonly query?: Query
  /** Sent as it is, instead of JSON. */
  readonly raw?: string | Uint8Array
  readonly headers?: Readonly<Record<string, string>>
  /** Names what later cases need: a name and its place in the answer, e.g. `run.info.run_id`. */
  readonly capture?: Readonly<Record<string, string>>
  /** Headers of the answer that are compared too. */
  readonly compared?: ReadonlyArray<string>
}

/** One request. */
export interface Case extends Extra {
  readonly name: string
  readonly method: Method
  /** Below `/api/2.0/mlflow/`, or absolute. */
  readonly path: string
  readonly body?: unknown
}

/** Requests about one subject, in order; no family needs another one to have run. */
export interface Family {
  readonly name: string
  readonly cases: ReadonlyArray<Case>
}

const withBody =
  (method: Method) =>
  (name: string, path: string, body?: unknown, extra: Extra = {}): Case => ({
    name,
    method,
    path,
    ...(body === undefined ? {} : { body }),
    ...extra,
  })

/** A GET. */
export const get = (name: string, path: string, query: Query = {}, extra: Extra = {}): Case => ({
  name,
  method: "GET",
  path,
  query,
  ...extra,
})

/** A POST of JSON. */
export const post = withBody("POST")

/** A PUT of JSON, or of `raw` bytes. */
export const put = withBody("PUT")

/** A PATCH of JSON. */
export const patch = withBody("PATCH")

/** A DELETE with a JSON body. */
export const del = withBody("DELETE")

/** An experiment of the family's own; `as` names its id. */
export const experiment = (name: string, as = "exp"): Case =>
  post(`experiment ${name}`, "experiments/create", { name }, { capture: { [as]: "experiment_id" } })

/** A run in an experiment; `as` names its id. */
export const run = (
  name: string,
  as: string,
  more: Readonly<Record<string, unknown>> = {},
  experimentAs = "exp",
): Case =>
  post(
    `run ${name}`,
    "runs/create",
    {
      experiment_id: `{{${experimentAs}}}`,
      run_name: name,
      user_id: "ada",
      start_time: 1_700_000_000_000,
      ...more,
    },
    { capture: { [as]: "run.info.run_id" } },
  )
