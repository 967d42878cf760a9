import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid, RegistryError } from "../../RegistryError.ts"
import { Runs } from "../../Runs.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import * as Render from "./render.ts"
import * as Request from "./request.ts"
import * as Batch from "./runs-batch.ts"

const runName = "mlflow.runName"
/** In the order of their numbers, from 1, which protocol buffers take for names. */
const statuses = ["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"] as const
const RunId = Schema.Struct({ run_id: Schema.NonEmptyString })

/** The life of runs over MLflow's REST API. */
export const endpoints: ReadonlyArray<Endpoint> = [
  endpoint(
    ["POST"],
    "/runs/create",
    "write",
    Schema.Struct({
      experiment_id: Schema.optionalKey(Schema.Union([Schema.String, Schema.Int])),
      user_id: Schema.optionalKey(Schema.String),
      start_time: Schema.optionalKey(Request.Int64),
      run_name: Schema.optionalKey(Schema.String),
      tags: Schema.optionalKey(Request.Pairs),
    }),
    Effect.fnUntraced(function* (input, call) {
      const tags = Batch.recordOf("tags", input.tags ?? [], call)
      if (tags instanceof RegistryError) return yield* tags
      const name = input.run_name ?? ""
      const tagged = tags[runName] ?? ""
      if (name !== "" && tagged !== "" && tagged !== name) {
        return yield* invalid(
          "run_name",
          `Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values (run_name='${name}', mlflow.runName='${tagged}').`,
        )
      }
      const runs = yield* Runs
      const experiment = String(input.experiment_id ?? "")
      const run = yield* runs.create({
        experimentId: experiment === "" ? "0" : experiment,
        tags,
        ...(name === "" ? {} : { name }),
        ...(input.user_id === undefined ? {} : { user: input.user_id }),
        ...(input.start_time === undefined ? {} : { started: Number(input.start_time) * 1000 }),
      })
      const { outputs: _, ...made } = Render.run(run, new Map())
      return { run: made }
    }),
  ),
  endpoint(
    ["POST"],
    "/runs/update",
    "write",
    Schema.Struct({
      ...RunId.fields,
      end_time: Schema.optionalKey(Request.Int64),
      status: Schema.optionalKey(Schema.Literals([...statuses, 1, 2, 3, 4, 5])),
      run_name: Schema.optionalKey(Schema.String),
    }),
    Effect.fnUntraced(function* ({ run_id, status: given, end_time, run_name = "" }) {
      const runs = yield* Runs
      const status = typeof given === "number" ? statuses[given - 1] : given
      const run = yield* runs.update(run_id, {
        ...(status === undefined ? {} : { status }),
        ...(end_time === undefined ? {} : { ended: Number(end_time) * 1000 }),
        ...(run_name === "" ? {} : { name: run_name }),
      })
      return { run_info: Render.runInfo(run) }
    }),
  ),
  endpoint(
    ["GET"],
    "/runs/get",
    "read",
    RunId,
    Effect.fnUntraced(function* ({ run_id }) {
      const runs = yield* Runs
      return { run: Render.run(yield* runs.get(run_id), yield* runs.links([run_id])) }
    }),
  ),
  endpoint(
    ["POST"],
    "/runs/delete",
    "write",
    RunId,
    Effect.fnUntraced(function* ({ run_id }) {
      const runs = yield* Runs
      yield* runs.remove(run_id)
      return {}
    }),
  ),
  endpoint(
    ["POST"],
    "/runs/restore",
    "write",
    RunId,
    Effect.fnUntraced(function* ({ run_id }) {
      const runs = yield* Runs
      yield* runs.restore(run_id)
      return {}
    }),
  ),
  endpoint(
    ["POST"],
    "/runs/delete-tag",
    "write",
    Schema.Struct({ ...RunId.fields, key: Schema.NonEmptyString }),
    Effect.fnUntraced(function* ({ run_id, key }) {
      const runs = yield* Runs
      yield* runs.deleteTag(run_id, key)
      return {}
    }),
  ),
]
