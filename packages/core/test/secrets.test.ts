import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { inspect } from "node:util"
import { Secrets } from "@ashlar/core"
import * as Env from "@ashlar/core/env"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { afterAll, describe, expect, it } from "vitest"

const root = mkdtempSync(join(tmpdir(), "ashlar-secrets-"))
const folder = join(root, "secrets")
mkdirSync(folder)
afterAll(() => rmSync(root, { recursive: true, force: true }))
writeFileSync(join(root, "outside"), "not yours")
writeFileSync(join(folder, "db"), "from the file\n")
writeFileSync(join(folder, "both"), "from the file")
writeFileSync(join(folder, "large"), "x".repeat(70_000))
mkdirSync(join(folder, "folder"))

const env: Record<string, string> = {
  ASHLAR_SECRET_BOTH: "from the environment",
  ASHLAR_SECRET_MY_KEY_2: "k2",
  ASHLAR_SECRET_EMPTY: "",
}

const get = (name: string) =>
  Effect.runPromise(
    Effect.provide(
      Effect.flatMap(Secrets.Secrets, (secrets) => secrets.get(name)),
      Env.layer({ folder, env }),
    ),
  )

describe("secrets from environment and files", () => {
  it("reads the variable, then the file", async () => {
    expect(Redacted.value(await get("both"))).toBe("from the environment")
    expect(Redacted.value(await get("my-key.2"))).toBe("k2")
    expect(Redacted.value(await get("db"))).toBe("from the file")
    expect(inspect(await get("db"))).not.toContain("from the file")
  })

  it("sees a rotated secret", async () => {
    writeFileSync(join(folder, "rotating"), "one")
    expect(Redacted.value(await get("rotating"))).toBe("one")
    writeFileSync(join(folder, "rotating"), "two")
    expect(Redacted.value(await get("rotating"))).toBe("two")
  })

  it.each([
    ["nothing", "NotFound"],
    ["empty", "NotFound"],
    ["large", "TooLarge"],
    ["folder", "Unavailable"],
    ["../outside", "InvalidInput"],
    ["..", "InvalidInput"],
    ["", "InvalidInput"],
    ["a\0b", "InvalidInput"],
  ])("refuses %j with %s", async (name, reason) => {
    await expect(get(name)).rejects.toMatchObject({ _tag: "SecretsError", reason })
  })

  it("says which variable and which file would do", async () => {
    await expect(get("nothing")).rejects.toThrow(
      `Set ASHLAR_SECRET_NOTHING, or put it into the file ${join(folder, "nothing")}.`,
    )
  })
})
