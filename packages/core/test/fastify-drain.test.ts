import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { setTimeout as sleep } from "node:timers/promises"
import { afterEach, expect, it } from "vitest"

const fixture = fileURLToPath(new URL("fixtures/drain.ts", import.meta.url))
let child: ChildProcess | undefined

afterEach(() => {
  if (child?.exitCode === null) child.kill("SIGKILL")
})

const start = async (env: NodeJS.ProcessEnv = {}) => {
  const started = spawn(process.execPath, ["--conditions=@ashlar/source", fixture], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
  })
  child = started
  const lines: Array<string> = []
  const reader = createInterface({ input: started.stdout })
  reader.on("line", (line) => lines.push(line))
  await expect.poll(() => lines[0], { timeout: 20_000 }).toMatch(/^http:/)
  const exited = once(started, "exit") as Promise<[number | null, string | null]>
  return { url: lines[0] ?? "", lines, exited, stop: () => started.kill("SIGTERM") }
}

it("SIGTERM during a request: it is answered, nothing new is taken, the process ends well", async () => {
  const { url, lines, exited, stop } = await start()
  expect((await fetch(`${url}/health/ready`)).status).toBe(200)
  const working = fetch(`${url}/work`)
  await expect.poll(() => lines).toContain("started /work")
  stop()
  await sleep(100)
  const ready = await fetch(`${url}/health/ready`)
  expect(ready.status).toBe(503)
  expect(await ready.json()).toMatchObject({ status: "draining" })
  await sleep(400)
  await expect(fetch(`${url}/health/live`)).rejects.toThrow("fetch failed")
  const answer = await working
  expect(answer.status).toBe(200)
  expect(await answer.json()).toEqual({ done: true })
  expect(await exited).toEqual([0, null])
  expect(lines.at(-1)).toBe("released")
})

it("a request that outlasts the grace is interrupted and told so", async () => {
  const { url, lines, exited, stop } = await start()
  const hanging = fetch(`${url}/hang`)
  await expect.poll(() => lines).toContain("started /hang")
  stop()
  const answer = await hanging
  expect(answer.status).toBe(503)
  expect(await answer.json()).toMatchObject({ error: { code: "HttpError.Unavailable" } })
  expect(await exited).toEqual([0, null])
  expect(lines.at(-1)).toBe("released")
})

it("a second signal does not wait for the grace, but a doubled first one is one", async () => {
  const { url, lines, exited, stop } = await start({ GRACE_MS: "60000" })
  const hanging = fetch(`${url}/hang`).catch((error: unknown) => String(error))
  await expect.poll(() => lines).toContain("started /hang")
  stop()
  await sleep(100)
  stop()
  await sleep(300)
  expect(child?.exitCode).toBeNull()
  expect(child?.signalCode).toBeNull()
  await sleep(1200)
  stop()
  expect(await exited).toEqual([null, "SIGTERM"])
  expect(await hanging).toContain("fetch failed")
})

it("what fails while closing is told, and the rest is released all the same", async () => {
  const { lines, exited, stop } = await start({ FAIL_ON_CLOSE: "1" })
  stop()
  expect(await exited).toEqual([1, null])
  expect(lines.at(-1)).toBe("released")
})
