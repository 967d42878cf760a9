/**
 * CPU slots: jobs wait in order of submission until the first of them fits.
 *
 * @module
 */

/** Gives back what was taken; more than once is harmless. */
export type Release = () => void

/** CPUs to share. */
export interface Slots {
  /** Waits for its turn; `undefined` when the signal aborts first. */
  readonly take: (cpus: number, signal: AbortSignal) => Promise<Release | undefined>
  /** For a job that runs already: takes even more than there is. */
  readonly force: (cpus: number) => Release
}

/** Slots for so many CPUs. */
export const make = (total: number): Slots => {
  let used = 0
  const queue: Array<{ readonly cpus: number; readonly grant: () => void }> = []

  const force = (cpus: number): Release => {
    used += cpus
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      used -= cpus
      pump()
    }
  }
  // A sum of fractions such as 0.1 may miss the total by a rounding error.
  const fits = (cpus: number) => used + cpus <= total + 1e-9
  const pump = () => {
    for (let head = queue[0]; head !== undefined && fits(head.cpus); head = queue[0]) {
      queue.shift()
      head.grant()
    }
  }

  return {
    force,
    take: (cpus, signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve(undefined)
        const onAbort = () => {
          queue.splice(queue.indexOf(waiting), 1)
          resolve(undefined)
          pump()
        }
        const waiting = {
          cpus,
          grant: () => {
            signal.removeEventListener("abort", onAbort)
            resolve(force(cpus))
          },
        }
        signal.addEventListener("abort", onAbort, { once: true })
        queue.push(waiting)
        pump()
      }),
  }
}
