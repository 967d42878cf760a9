import * as Effect from "effect/Effect"
import type { Artifacts } from "../../Artifacts.ts"
import type { Experiments } from "../../Experiments.ts"
import type { LoggedModels } from "../../LoggedModels.ts"
import type { Models } from "../../Models.ts"
import type { Promotions } from "../../Promotions.ts"
import type { RegistryError } from "../../RegistryError.ts"
import type { Runs } from "../../Runs.ts"
import type { Traces } from "../../Traces.ts"
import type { Webhooks } from "../../Webhooks.ts"
import { type Decodable, decoder } from "./request.ts"

/** The services behind the protocol. */
export type Services =
  | Artifacts
  | Experiments
  | LoggedModels
  | Models
  | Promotions
  | Runs
  | Traces
  | Webhooks

/** What an endpoint knows of a request besides its parameters. */
export interface Call {
  /** Whether values that are too long are cut, as MLflow does, or refused. */
  readonly truncateLongValues: boolean
}

/** An operation of MLflow's REST API. */
export interface Endpoint {
  readonly methods: ReadonlyArray<"GET" | "POST" | "PUT" | "PATCH" | "DELETE">
  /** Below `/api/2.0/mlflow`, e.g. `/runs/get`, or `/logged-models/:model_id`. */
  readonly path: string
  readonly verb: "read" | "write"
  /** Default 2.0. */
  readonly version?: "2.0" | "3.0"
  /** What the OpenAPI document names it after; default the path. */
  readonly operation?: string
  /** Takes the body of a POST, or the query of a GET; parameters of the path go before both. */
  readonly run: (raw: unknown, call: Call) => Effect.Effect<unknown, RegistryError, Services>
}

/** Makes an endpoint whose request fits a schema. */
export const endpoint = <S extends Decodable>(
  methods: Endpoint["methods"],
  path: string,
  verb: Endpoint["verb"],
  request: S,
  handler: (input: S["Type"], call: Call) => Effect.Effect<unknown, RegistryError, Services>,
): Endpoint => {
  const decode = decoder(request)
  return {
    methods,
    path,
    verb,
    run: (raw, call) => Effect.flatMap(decode(raw), (input) => handler(input, call)),
  }
}
