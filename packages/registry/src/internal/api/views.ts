import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { FastifyInstance } from "fastify"
import type { SavedView } from "../../Explorer.ts"
import type { ViewAnswer } from "./answers.ts"
import { common, explorer, Id, iso, root, type Runtime, text } from "./route.ts"

const viewOf = (view: SavedView): ViewAnswer => ({ ...view, updated: iso(view.updated) })

/** Registers what keeps saved views. */
export const register = (app: FastifyInstance, runtime: Runtime): void => {
  const where = { page: text(40), scope: text(500) }
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: `${root}/views`,
    operation: "registryViews",
    summary: "Saved views of a page",
    access: { verb: "read" },
    query: Schema.Struct(where),
    handler: ({ query: { page, scope } }) =>
      Effect.gen(function* () {
        return { items: (yield* (yield* explorer).views(page, scope)).map(viewOf) }
      }),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "POST",
    url: `${root}/views`,
    operation: "registrySaveView",
    summary: "Saves a view, in place of one with the same name",
    access: { verb: "write" },
    body: Schema.Struct({ ...where, name: text(120), state: text(60_000) }),
    handler: ({ body, principal }) =>
      Effect.gen(function* () {
        return viewOf(yield* (yield* explorer).saveView({ ...body, owner: principal.name }))
      }),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "DELETE",
    url: `${root}/views/:id`,
    operation: "registryRemoveView",
    summary: "Removes a saved view",
    access: { verb: "write" },
    params: Schema.Struct({ id: Id }),
    handler: ({ params }) =>
      Effect.gen(function* () {
        yield* (yield* explorer).removeView(params.id)
        return HttpKit.reply(undefined, { status: 204 })
      }),
  })
}
