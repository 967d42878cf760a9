import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "vitest"
import { complete, type Entries } from "../lockfile.ts"
import { root } from "../workspace.ts"

it("adds the builds that the registry did not serve, with their platform, and nothing else", () => {
  const entries: Entries = {
    "": { version: "0.0.0" },
    "node_modules/tool": {
      version: "1.2.0",
      dev: true,
      optionalDependencies: {
        "@tool/linux-x64-gnu": "1.2.0",
        "@tool/linux-arm-musleabihf": "1.2.0",
        "@tool/darwin-arm64": "1.2.0",
        colour: "1.0.0",
        "@tool/win32-x64": "^1.0.0",
      },
    },
    "node_modules/@tool/linux-x64-gnu": { version: "1.2.0" },
  }
  const completed = complete(entries)
  const added = Object.entries(completed).filter(([place]) => entries[place] === undefined)
  expect(Object.fromEntries(added)).toEqual({
    "node_modules/@tool/darwin-arm64": {
      version: "1.2.0",
      dev: true,
      optional: true,
      os: ["darwin"],
      cpu: ["arm64"],
    },
    "node_modules/@tool/linux-arm-musleabihf": {
      version: "1.2.0",
      dev: true,
      optional: true,
      os: ["linux"],
      cpu: ["arm"],
      libc: ["musl"],
    },
  })
  expect(complete(completed)).toEqual(completed)
})

it("has no registry's address in this workspace's lockfile", () => {
  expect(readFileSync(join(root, "package-lock.json"), "utf8")).not.toContain('"resolved": "http')
})
