/**
 * Functions that the Compute suite runs as jobs.
 *
 * @module
 */
import { appendFileSync, readFileSync } from "node:fs"

interface Context {
  readonly signal: AbortSignal
  readonly log: (line: string) => void
}

const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

/** The sum. */
export const add = ({ a, b }: { readonly a: number; readonly b: number }): number => a + b

/** Fails with a message. */
export const fail = (message: string): never => {
  throw new RangeError(message)
}

/** Ends its process or thread. */
export const exit = (code: number): never => process.exit(code)

/** Appends a line, then waits. */
export const append = async (input: {
  readonly file: string
  readonly line: string
  readonly waitMs: number
}): Promise<void> => {
  appendFileSync(input.file, `+${input.line}\n`)
  await sleep(input.waitMs)
  appendFileSync(input.file, `-${input.line}\n`)
}

/** Fails until it was called so often. */
export const flaky = (input: { readonly file: string; readonly failures: number }): number => {
  appendFileSync(input.file, "+\n")
  const calls = readFileSync(input.file, "utf8").split("\n").length - 1
  if (calls <= input.failures) throw new Error(`failure ${calls}`)
  return calls
}

/** Prints lines, with pauses. */
export const talk = async (count: number, { log }: Context): Promise<void> => {
  for (let at = 0; at < count; at++) {
    log(`line ${at}`)
    await sleep(30)
  }
}

/** Prints both ways at once, then ends. */
export const print = (input: string, { log }: Context): void => {
  log(`logged ${input}`)
  console.log(`printed ${input}`)
  console.error(`warned ${input}`)
}

/** Holds its thread and hears nothing. */
export const spin = (): never => {
  for (;;);
}

/** Ends when its signal aborts, and says so. */
export const listen = (_input: unknown, { signal, log }: Context): Promise<string> =>
  new Promise((resolve) => {
    const keep = setInterval(() => undefined, 1000)
    log("listening")
    signal.addEventListener("abort", () => {
      clearInterval(keep)
      log("aborted")
      resolve("aborted")
    })
  })

/** Names of the environment's variables. */
export const environment = (): ReadonlyArray<string> => Object.keys(process.env)

/** Takes 600 MB, then returns. */
export const hoard = async (): Promise<number> => {
  const held: Array<Buffer> = []
  while (held.length < 75) {
    held.push(Buffer.alloc(8 << 20, held.length + 1))
    await sleep(20)
  }
  return held.length
}
