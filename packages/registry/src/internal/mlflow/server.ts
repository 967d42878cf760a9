import type { Endpoint } from "./endpoint.ts"
import * as Effect from "effect/Effect"

/** The version of MLflow whose protocol is spoken. */
export const version = "3.17.2"

/** What clients probe before they use features of a server. */
const info = {
  store_type: "SqlStore",
  workspaces_enabled: false,
  trace_archival_enabled: false,
  multipart_uploads_enabled: true,
  multipart_downloads_enabled: false,
  presigned_upload_run_id_supported: true,
  presigned_upload_model_id_supported: true,
}

/** What a server says of itself. */
export const endpoints: ReadonlyArray<Endpoint> = [
  {
    methods: ["GET", "POST"],
    path: "/server-info",
    verb: "read",
    version: "3.0",
    run: () => Effect.succeed(info),
  },
]
