import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Runs } from "../../Runs.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import * as Render from "./render.ts"

const RunId = Schema.Struct({ run_id: Schema.NonEmptyString })

/** Files of runs over MLflow's REST API. */
export const endpoints: ReadonlyArray<Endpoint> = [
  endpoint(
    ["GET"],
    "/artifacts/list",
    "read",
    Schema.Struct({ ...RunId.fields, path: Schema.optionalKey(Schema.String) }),
    Effect.fnUntraced(function* ({ run_id, path = "" }) {
      const runs = yield* Runs
      const run = yield* runs.get(run_id)
      const prefix = path === "" ? "" : `${path.replace(/\/+$/, "")}/`
      const found = new Map<string, { path: string; is_dir: boolean; file_size?: number }>()
      for (const artifact of yield* runs.artifacts(run_id)) {
        if (!artifact.path.startsWith(prefix)) continue
        const rest = artifact.path.slice(prefix.length)
        const slash = rest.indexOf("/")
        const child = prefix + (slash < 0 ? rest : rest.slice(0, slash))
        found.set(
          child,
          slash < 0
            ? { path: child, is_dir: false, file_size: artifact.size }
            : { path: child, is_dir: true },
        )
      }
      const files = [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
      return { root_uri: Render.artifactUri(run), ...Render.page("files", files, undefined) }
    }),
  ),
]
