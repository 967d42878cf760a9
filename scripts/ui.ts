/**
 * Bundles the pages of packages with esbuild when they are missing or older than their sources. A
 * package with pages has `src/ui/index.html`, `main.tsx`, `main.css` and `icon.svg` there, and perhaps
 * workers `src/ui/<name>.worker.ts`; they land in `dist/ui` under names that carry a digest.
 *
 * @module
 */
import { type BuildOptions, buildSync } from "esbuild"
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { basename, join } from "node:path"
import { filesUnder, packagesOf, root } from "./workspace.ts"

const kinds = [".ts", ".tsx", ".css", ".html", ".svg", ".json"] as const

const isStale = (out: string, sources: ReadonlyArray<string>): boolean => {
  const page = join(out, "index.html")
  if (!existsSync(page)) return true
  const built = statSync(page).mtimeMs
  return sources.some((source) => statSync(source).mtimeMs > built)
}

const bundle = (
  folder: string,
  entry: string,
  options: BuildOptions,
): ReadonlyMap<string, Uint8Array> => {
  const result = buildSync({
    absWorkingDir: folder,
    entryPoints: [join("src/ui", entry)],
    outdir: "dist/ui",
    entryNames: "[name]-[hash]",
    assetNames: "[name]-[hash]",
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: ["es2022"],
    conditions: ["@ashlar/source"],
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none",
    logLevel: "silent",
    // The kit lies in another package, and finds its libraries from here as well.
    nodePaths: [join(root, "node_modules")],
    ...options,
  })
  return new Map((result.outputFiles ?? []).map(({ path, contents }) => [basename(path), contents]))
}

const build = (folder: string): void => {
  const source = join(folder, "src/ui")
  const files = new Map<string, Uint8Array>()
  const add = (entry: string, options: BuildOptions): string => {
    const made = bundle(folder, entry, options)
    for (const [name, contents] of made) files.set(name, contents)
    const main = [...made.keys()].find((name) => /\.(js|css|svg)$/.test(name))
    if (main === undefined) throw new Error(`${join(source, entry)} gave no file`)
    return main
  }
  const workers = Object.fromEntries(
    readdirSync(source)
      .filter((name) => name.endsWith(".worker.ts"))
      .map((name) => [name.slice(0, -".worker.ts".length), `./assets/${add(name, {})}`]),
  )
  const script = add("main.tsx", {
    define: { "globalThis.ashlarWorkers": JSON.stringify(workers) },
  })
  const style = add("main.css", {})
  const icon = add("icon.svg", { loader: { ".svg": "copy" } })
  const page = readFileSync(join(source, "index.html"), "utf8")
    .replace("{{script}}", `./assets/${script}`)
    .replace("{{style}}", `./assets/${style}`)
    .replace("{{icon}}", `./assets/${icon}`)
  const out = join(folder, "dist/ui")
  // Two processes may build at once; each moves a finished folder into place.
  const partial = `${out}.${process.pid}`
  rmSync(partial, { recursive: true, force: true })
  mkdirSync(partial, { recursive: true })
  for (const [name, contents] of files) writeFileSync(join(partial, name), contents)
  writeFileSync(join(partial, "index.html"), page)
  rmSync(out, { recursive: true, force: true })
  renameSync(partial, out)
}

/** Bundles every package's pages that are missing or stale; returns the folders it wrote. */
export const buildPages = (tree: string = root): ReadonlyArray<string> => {
  const kit = filesUnder(join(tree, "packages/core/src/ui"), ...kinds)
  const written: Array<string> = []
  for (const { folder } of packagesOf(tree)) {
    if (!existsSync(join(folder, "src/ui/index.html"))) continue
    const out = join(folder, "dist/ui")
    const sources = [...kit, ...filesUnder(join(folder, "src/ui"), ...kinds)]
    if (!isStale(out, sources)) continue
    build(folder)
    written.push(out)
  }
  return written
}
