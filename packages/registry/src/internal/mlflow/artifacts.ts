import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Artifacts, type Entry } from "../../Artifacts.ts"
import { LoggedModels } from "../../LoggedModels.ts"
import type { RegistryError } from "../../RegistryError.ts"
import { Runs } from "../../Runs.ts"
import * as Path from "../artifacts/path.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import * as Render from "./render.ts"
import { tokenOf } from "./request.ts"

/** A file or a directory. */
export interface FileInfo {
  readonly path: string
  readonly is_dir: boolean
  readonly file_size?: number
}

/** Empty files have no size, as MLflow's have none. */
const fileInfo = ({ path, isDirectory, size = 0 }: Entry): FileInfo => ({
  path,
  is_dir: isDirectory,
  ...(isDirectory || size === 0 ? {} : { file_size: size }),
})

/** Everything in a directory, which MLflow's proxy does not page; nothing of a file. */
export const files: (
  artifacts: Artifacts["Service"],
  directory: string,
) => Effect.Effect<ReadonlyArray<FileInfo>, RegistryError> = Effect.fnUntraced(
  function* (artifacts, directory) {
    const found: Array<FileInfo> = []
    for (let token: string | undefined; ;) {
      const page = yield* artifacts.list(directory, token === undefined ? {} : { token })
      for (const item of page.items) found.push(fileInfo(item))
      if (page.next === undefined) return found
      token = page.next
    }
  },
)

/** Where in the tree a path below a URI is; `undefined` when they are not in this registry. */
export const within = (
  uri: string,
  path: string,
): Effect.Effect<string | undefined, RegistryError> =>
  Effect.map(Path.parse("path", path), (below) => {
    const root = Path.ofUri(uri)
    return root === undefined ? undefined : Path.join(root, below)
  })

const Listing = { path: Schema.optionalKey(Schema.String) }
const Token = { page_token: Schema.optionalKey(Schema.String) }

/** What lies in a directory below a URI, with paths below it. */
const listing = Effect.fnUntraced(function* (
  root_uri: string,
  path: string,
  page: { readonly page_token?: string },
) {
  const root = yield* within(root_uri, "")
  const at = yield* within(root_uri, path)
  if (root === undefined || at === undefined) return { root_uri }
  const { items, next } = yield* (yield* Artifacts).list(at, tokenOf(page))
  const found = items.map((item) =>
    fileInfo({ ...item, path: root === "" ? item.path : item.path.slice(root.length + 1) }),
  )
  return { root_uri, ...Render.page("files", found, next) }
})

/** Files of runs and of logged models over MLflow's REST API. */
export const endpoints: ReadonlyArray<Endpoint> = [
  endpoint(
    ["GET"],
    "/artifacts/list",
    "read",
    Schema.Struct({ run_id: Schema.NonEmptyString, ...Listing, ...Token }),
    Effect.fnUntraced(function* (input) {
      const run = yield* (yield* Runs).get(input.run_id)
      return yield* listing(Render.artifactUri(run), input.path ?? "", input)
    }),
  ),
  endpoint(
    ["GET"],
    "/logged-models/:model_id/artifacts/directories",
    "read",
    Schema.Struct({
      model_id: Schema.NonEmptyString,
      artifact_directory_path: Schema.optionalKey(Schema.String),
      ...Token,
    }),
    Effect.fnUntraced(function* (input) {
      const model = yield* (yield* LoggedModels).get(input.model_id)
      return yield* listing(model.artifactUri, input.artifact_directory_path ?? "", input)
    }),
  ),
]
