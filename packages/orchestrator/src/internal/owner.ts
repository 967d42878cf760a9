import { readFileSync, readlinkSync } from "node:fs"
import { hostname } from "node:os"

/**
 * The host, and on Linux the namespace of its process ids: containers may share a name, and then
 * the same pid means different processes.
 */
const host = (): string => {
  try {
    return `${hostname()} ${readlinkSync("/proc/self/ns/pid")}`
  } catch {
    return hostname()
  }
}

/**
 * Names this process so that another one on the same host can tell whether it still lives, and
 * need not wait for its lease to run out: host, pid and, against reused pids, the start time.
 */
export const self = (): string => `${host()}/${process.pid}/${startTime(process.pid) ?? ""}`

/** True only when the owner was a process of this host and is certainly gone. */
export const isGone = (owner: string): boolean => {
  const [where, pid, started] = owner.split("/")
  if (where !== host() || pid === undefined) return false
  const now = startTime(Number(pid))
  if (now !== undefined) return now !== started
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH"
  }
}

/** Start time of a process in clock ticks since boot, from Linux's procfs. */
const startTime = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    // The command name may hold spaces and parentheses: count fields after the last one.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    // A zombie has ended; only its exit status is still waiting to be read.
    return fields[0] === "Z" ? "" : fields[19]
  } catch {
    return undefined
  }
}
