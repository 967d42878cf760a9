import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, it } from "vitest"
import { buildPages } from "../ui.ts"

let tree = ""
let source = ""
beforeEach(() => {
  tree = mkdtempSync(join(tmpdir(), "ashlar-pages-"))
  source = join(tree, "packages/x/src/ui")
  mkdirSync(source, { recursive: true })
  mkdirSync(join(tree, "packages/core/src/ui"), { recursive: true })
  writeFileSync(join(tree, "packages/core/package.json"), `{"name":"@ashlar/core"}`)
  writeFileSync(join(tree, "packages/core/src/ui/kit.ts"), "export {}")
  writeFileSync(join(tree, "packages/x/package.json"), `{"name":"@ashlar/x"}`)
  writeFileSync(
    join(source, "index.html"),
    `<link href="{{style}}"><link rel="icon" href="{{icon}}"><script src="{{script}}"></script>`,
  )
  writeFileSync(
    join(source, "main.tsx"),
    `document.title = String(globalThis.ashlarWorkers["sum"])`,
  )
  writeFileSync(join(source, "sum.worker.ts"), "postMessage(1 + 1)")
  writeFileSync(join(source, "main.css"), "body { margin: 0 }")
  writeFileSync(join(source, "icon.svg"), "<svg/>")
})
afterEach(() => rmSync(tree, { recursive: true }))

it("bundles missing pages, keeps fresh ones, and bundles again when a source or the kit changes", () => {
  const out = join(tree, "packages/x/dist/ui")
  expect(buildPages(tree)).toEqual([out])
  const page = readFileSync(join(out, "index.html"), "utf8")
  const names = [...page.matchAll(/"\.\/assets\/([^"]+)"/g)].map(([, name = ""]) => name)
  expect(names.map((name) => name.replace(/-[A-Z0-9]{8}/, ""))).toEqual([
    "main.css",
    "icon.svg",
    "main.js",
  ])
  const files = readdirSync(out)
  expect(files).toEqual(expect.arrayContaining(names))
  const worker = files.find((name) => name.startsWith("sum.worker-"))
  const script = readFileSync(join(out, names[2] ?? ""), "utf8")
  expect(script).toContain(`./assets/${worker}`)

  expect(buildPages(tree)).toEqual([])

  for (const file of [join(source, "main.css"), join(tree, "packages/core/src/ui/kit.ts")]) {
    const later = new Date(statSync(join(out, "index.html")).mtimeMs + 5_000)
    utimesSync(file, later, later)
    expect(buildPages(tree)).toEqual([out])
    const now = new Date()
    utimesSync(file, now, now)
  }
})

it("names the source that does not compile, and leaves the pages of before", () => {
  buildPages(tree)
  writeFileSync(join(source, "main.tsx"), "const = 1")
  const later = new Date(Date.now() + 5_000)
  utimesSync(join(source, "main.tsx"), later, later)
  expect(() => buildPages(tree)).toThrow(/src\/ui\/main\.tsx/)
  expect(readdirSync(join(tree, "packages/x/dist/ui"))).toContain("index.html")
})
