/** This package's plugin in a process of its own: `serve.ts sqlite <file>` or `serve.ts postgres <url> <schema>`. */
import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"

const [kind = "", place = "", schema = "", blobs = ""] = process.argv.slice(2)
const database =
  kind === "sqlite" ? Sqlite.layer({ file: place }) : Postgres.layer({ url: place, schema })
const runtime = ManagedRuntime.make(
  Mlflow.services.pipe(Layer.provide([database, Fs.layer({ directory: blobs })])),
)
const server = await HttpKit.makeServer({
  auth: "off-on-loopback",
  register: (app) => app.register(Mlflow.plugin, { runtime, pages: false }),
})
console.log(JSON.stringify({ url: server.url }))
await server.closed
await runtime.dispose()
