/**
 * The page at `/`: what is mounted, with links.
 *
 * @module
 */
import { createHash } from "node:crypto"
import type { Mounted } from "./Mounted.ts"

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;")

const style = `
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; }
h2 { margin: 1.5rem 0 0; font-size: 1.1rem; }
p { margin: 0.25rem 0; }
ul { margin: 0.25rem 0; padding-left: 1.25rem; }
`

/** The style is allowed by its digest; scripts and everything from elsewhere are not. */
const policy = `default-src 'none'; style-src 'sha256-${createHash("sha256").update(style).digest("base64")}'; frame-ancestors 'none'; base-uri 'none'`

/** Headers of the page. */
export const headers: Readonly<Record<string, string>> = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": policy,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
}

const item = ({ path, open }: Mounted["routes"][number]): string =>
  open
    ? `<li><a href="${escape(path)}"><code>${escape(path)}</code></a></li>`
    : `<li><code>${escape(path)}</code></li>`

const section = ({ name, about, routes }: Pick<Mounted, "name" | "about" | "routes">): string =>
  `<section>
<h2>${escape(name)}</h2>
<p>${escape(about)}</p>
<ul>${routes.map(item).join("")}</ul>
</section>`

const server: Pick<Mounted, "name" | "about" | "routes"> = {
  name: "This server",
  about: "what it is, whether it works, and what it counts",
  routes: ["/openapi.json", "/health/live", "/health/ready", "/metrics"].map((path) => ({
    path,
    open: true,
  })),
}

/** The page. */
export const render = (modules: ReadonlyArray<Mounted>, auth: "tokens" | "off"): string =>
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Ashlar</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>Ashlar</h1>
<p>${
    auth === "off"
      ? "Authentication is off: everybody on this machine may do everything."
      : "Most routes need a token. Programs send it as <code>Authorization: Bearer &lt;token&gt;</code>; a browser asks for it as the password, with any user name."
  }</p>
${[...modules, server].map(section).join("\n")}
</main>
</body>
</html>
`
