import * as Effect from "effect/Effect"
import type { Experiments } from "../../Experiments.ts"
import type { Models } from "../../Models.ts"
import type { Promotions } from "../../Promotions.ts"
import type { RegistryError } from "../../RegistryError.ts"
import type { Runs } from "../../Runs.ts"
import { type Decodable, decoder } from "./request.ts"

/** The services behind the protocol. */
export type Services = Experiments | Models | Promotions | Runs

/** An operation of MLflow's REST API. */
export interface Endpoint {
  readonly methods: ReadonlyArray<"GET" | "POST" | "DELETE">
  /** Below `/api/2.0/mlflow`, e.g. `/runs/get`. */
  readonly path: string
  readonly verb: "read" | "write"
  /** Takes the body of a POST, or the query of a GET. */
  readonly run: (raw: unknown) => Effect.Effect<unknown, RegistryError, Services>
}

/** Makes an endpoint whose request fits a schema. */
export const endpoint = <S extends Decodable>(
  methods: Endpoint["methods"],
  path: string,
  verb: Endpoint["verb"],
  request: S,
  handler: (input: S["Type"]) => Effect.Effect<unknown, RegistryError, Services>,
): Endpoint => {
  const decode = decoder(request)
  return { methods, path, verb, run: (raw) => Effect.flatMap(decode(raw), handler) }
}
