import * as Effect from "effect/Effect"

/** Tells waiting consumers of this process at once that a topic has something new. */
export class Wakeups {
  readonly #versions = new Map<string, number>()
  readonly #waiting = new Map<string, Set<() => void>>()

  readonly wake = (topic: string): void => {
    this.#versions.set(topic, (this.#versions.get(topic) ?? 0) + 1)
    for (const resume of this.#waiting.get(topic) ?? []) resume()
  }

  /** Starts to listen now: a wake-up that comes before `until` is not lost. */
  listen(topic: string): { readonly until: (timeoutMs: number) => Effect.Effect<void> } {
    const heard = this.#versions.get(topic)
    return {
      until: (timeoutMs) =>
        Effect.callback<void>((resume) => {
          if (this.#versions.get(topic) !== heard) return resume(Effect.void)
          const waiting = this.#waiting.get(topic) ?? new Set()
          this.#waiting.set(topic, waiting)
          const stop = (): void => {
            clearTimeout(timer)
            waiting.delete(done)
          }
          const done = (): void => {
            stop()
            resume(Effect.void)
          }
          const timer = setTimeout(done, timeoutMs)
          waiting.add(done)
          return Effect.sync(stop)
        }),
    }
  }
}
