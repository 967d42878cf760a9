import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { FastifyInstance } from "fastify"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { root, type Runtime } from "./route.ts"

/** The pages as they are built: beside the compiled sources, or where the sources' build puts them. */
const folder = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "../../../dist/ui/" : "../../ui/", import.meta.url),
)

const types: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
}

/** Nothing from elsewhere, nothing inline, nobody's frame. */
const policy =
  "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

const guard = {
  "content-security-policy": policy,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
}

/** From `/tracking/ui/` to `/tracking/api/...`, whatever a proxy puts before both. */
const relative = (mount: string, path: string): string =>
  `${"../".repeat(mount.split("/").length - 1)}${path.slice(1)}`

const read = (name: string): Buffer => readFileSync(`${folder}${name}`)

const names = (): ReadonlyArray<string> => {
  try {
    return readdirSync(folder).filter((name) => /\.(html|js|css|svg)$/.test(name))
  } catch {
    return []
  }
}

/** Registers the pages below a path such as `/ui`; their files carry a digest and are kept forever. */
export const register = (app: FastifyInstance, runtime: Runtime, mount: string): void => {
  const found = names()
  // Page and files of one build: a build while the server runs is for the next start.
  const index = found.includes("index.html") ? read("index.html").toString("utf8") : undefined
  const page = (): HttpKit.Reply => {
    if (index === undefined) {
      return HttpKit.reply("The pages are not built here. Run: npm run build\n", {
        status: 503,
        headers: { ...guard, "content-type": "text/plain; charset=utf-8" },
      })
    }
    const text = index.replace("{{api}}", relative(mount, root))
    return HttpKit.reply(text, {
      headers: { ...guard, "content-type": types["html"] ?? "", "cache-control": "no-cache" },
    })
  }
  HttpKit.route(app, runtime, {
    method: "GET",
    url: `${mount}/`,
    operation: "registryPages",
    tag: "pages",
    access: "public",
    handler: () => Effect.sync(page),
  })
  if (mount !== "") {
    HttpKit.route(app, runtime, {
      method: "GET",
      url: mount,
      operation: "registryPagesRedirect",
      tag: "pages",
      access: "public",
      handler: () =>
        Effect.succeed(
          HttpKit.reply("", {
            status: 308,
            headers: { location: `${mount.slice(mount.lastIndexOf("/") + 1)}/` },
          }),
        ),
    })
  }
  const files = new Map(
    found.flatMap((name) => (name === "index.html" ? [] : [[name, read(name)] as const])),
  )
  HttpKit.route(app, runtime, {
    method: "GET",
    url: `${mount}/assets/:name`,
    operation: "registryPagesAsset",
    tag: "pages",
    access: "public",
    params: Schema.Struct({ name: Schema.String.check(Schema.isMaxLength(200)) }),
    handler: ({ params: { name } }) => {
      const bytes = files.get(name)
      return bytes === undefined
        ? Effect.fail(
            new HttpKit.HttpError({
              reason: "NotFound",
              message: "there is no such file of the pages: load the page again",
            }),
          )
        : Effect.succeed(
            HttpKit.reply(bytes, {
              headers: {
                ...guard,
                "content-type": types[name.slice(name.lastIndexOf(".") + 1)] ?? "text/plain",
                "cache-control": "public, max-age=31536000, immutable",
              },
            }),
          )
    },
  })
}
