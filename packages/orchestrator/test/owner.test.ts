import { spawn } from "node:child_process"
import { once } from "node:events"
import { describe, expect, it } from "vitest"
import * as Owner from "../src/internal/owner.ts"

describe("the owner of a run", () => {
  const parts = Owner.self().split("/")
  const withPid = (pid: number, started = parts[2]) => [parts[0], pid, started].join("/")

  it("is gone when its process is, and only then", async () => {
    expect(Owner.isGone(Owner.self())).toBe(false)
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"])
    const { pid = 0 } = child
    expect(Owner.isGone(withPid(process.ppid, ""))).toBe(process.platform === "linux")
    child.kill("SIGKILL")
    await once(child, "exit")
    expect(Owner.isGone(withPid(pid))).toBe(true)
  })

  it("is not known to be gone on another host or in another container", () => {
    const elsewhere = (where: string) => [where, 4_000_000, "1"].join("/")
    expect(Owner.isGone(elsewhere(`other ${parts[0]}`))).toBe(false)
    expect(Owner.isGone(elsewhere(`${parts[0]}1`))).toBe(false)
    expect(Owner.isGone("nonsense")).toBe(false)
  })
})
