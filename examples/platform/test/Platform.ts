import { spawn } from "node:child_process"
import { join } from "node:path"

/** The program, from its sources. */
export const program = join(import.meta.dirname, "../src/main.ts")

/** How a program is run. */
export interface RunOptions {
  readonly args: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  readonly file?: string
}

/** This process's environment without settings of Ashlar's, which would become the server's. */
const environment = (): Record<string, string | undefined> =>
  Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(ASHLAR_|OTEL_|PG|AWS_|NODE_OPTIONS$)/.test(name),
    ),
  )

const launch = ({ args, env = {}, file = program }: RunOptions) => {
  const isSource = file.endsWith(".ts")
  const child = spawn(
    process.execPath,
    [...(isSource ? ["--conditions=@ashlar/source"] : []), file, ...args],
    { stdio: ["ignore", "pipe", "pipe"], env: { ...environment(), ...env } },
  )
  const output = { stdout: "", stderr: "" }
  child.stdout.on("data", (chunk: Buffer) => (output.stdout += chunk.toString()))
  child.stderr.on("data", (chunk: Buffer) => (output.stderr += chunk.toString()))
  const ended = new Promise<{ readonly code: number | null }>((resolve) => {
    child.on("close", (code) => resolve({ code }))
  })
  return { child, output, ended }
}

/** Runs a command to its end. */
export const run = async (options: RunOptions) => {
  const { ended, output } = launch(options)
  return { ...(await ended), ...output }
}

/** Starts a server on a free port and waits until it says where it listens. */
export const start = async (options: RunOptions) => {
  const { child, ended, output } = launch({
    ...options,
    args: ["--port", "0", ...options.args],
  })
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.on("data", () => {
      const [, found] = /listening on (http:\S+)/.exec(output.stdout) ?? []
      if (found !== undefined) resolve(found)
    })
    void ended.then(({ code }) => reject(new Error(`ended with ${code}: ${output.stderr}`)))
  })
  const stop = async (signal: NodeJS.Signals = "SIGTERM") => {
    child.kill(signal)
    return ended
  }
  return { url, output, stop, ended, child, [Symbol.asyncDispose]: async () => void (await stop()) }
}

/** A running server. */
export type Running = Awaited<ReturnType<typeof start>>

const tokenPattern = /ash_[0-9a-f]{16}_[A-Za-z0-9_-]{43}/g

/** The tokens in a text. */
export const tokensIn = (text: string): ReadonlyArray<string> => text.match(tokenPattern) ?? []

/** Asks again until the answer is as wanted, for what takes a moment. */
export const until = async <A>(
  ask: () => A | Promise<A>,
  isWanted: (answer: A) => boolean,
  timeoutMs = 15_000,
): Promise<A> => {
  const end = Date.now() + timeoutMs
  for (;;) {
    const answer = await ask()
    if (isWanted(answer)) return answer
    if (Date.now() > end) throw new Error(`still ${JSON.stringify(answer)} after ${timeoutMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** The first admin token, from what the server printed. */
export const firstToken = async ({ output }: Running): Promise<string> => {
  const [token] = await until(
    () => tokensIn(output.stdout),
    (tokens) => tokens.length > 0,
  )
  if (token === undefined) throw new Error("no token")
  return token
}

/** Requests with a token. */
export const client =
  (url: string, token?: string) =>
  async (path: string, body?: unknown): Promise<Response> =>
    fetch(`${url}${path}`, {
      ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
    })
