/**
 * Finds, measures and signals processes. On Linux through `/proc`; elsewhere through `ps`, where
 * only the job's process group is seen.
 *
 * @module
 */
import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"

/** A process that stays identifiable after its pid is used again. */
export interface ProcessId {
  readonly pid: number
  /** When it started, in the system's own words; differs between two owners of a pid. */
  readonly start: string
}

/** Environment variable that every process of a run inherits. */
export const runVariable = "ASHLAR_RUN"

const hasProc = process.platform === "linux"

/** Fields of `/proc/<pid>/stat` from the third on; the name before them may hold anything. */
const statFields = (pid: number): ReadonlyArray<string> | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1")
    return text.slice(text.lastIndexOf(")") + 2).split(" ")
  } catch {
    return undefined
  }
}

/** When the process started; `undefined` when it is gone or a zombie. */
export const startOf = (pid: number): string | undefined => {
  if (hasProc) {
    const fields = statFields(pid)
    return fields === undefined || fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19]
  }
  try {
    const text = execFileSync("ps", ["-o", "stat=,lstart=", "-p", String(pid)], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim()
    return text === "" || text.startsWith("Z") ? undefined : text.slice(text.indexOf(" ")).trim()
  } catch {
    return undefined
  }
}

/** This process. */
export const self = (): ProcessId => ({ pid: process.pid, start: startOf(process.pid) ?? "" })

/** True while this very process, not another with its pid, runs. */
export const isAlive = (id: ProcessId): boolean => startOf(id.pid) === id.start

const inRun = (pid: number, marker: string): boolean => {
  try {
    return `\0${readFileSync(`/proc/${pid}/environ`, "latin1")}`.includes(marker)
  } catch {
    return false
  }
}

const groupMembers = (group: number): Array<number> => {
  try {
    return execFileSync("ps", ["-A", "-o", "pid=,pgid=,stat="], { encoding: "utf8" })
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter(([, pgid, stat]) => Number(pgid) === group && stat?.startsWith("Z") === false)
      .map(([pid]) => Number(pid))
  } catch {
    return []
  }
}

/**
 * Living processes of a run: those in its process group, those that carry its token (found even
 * when they left the group or were adopted by init), and the children of both.
 */
export const membersOf = (run: string, group: number | undefined): Array<number> => {
  if (!hasProc) return group === undefined ? [] : groupMembers(group)
  const marker = `\0${runVariable}=${run}\0`
  const parents = new Map<number, number>()
  const members = new Set<number>()
  for (const name of readdirSync("/proc")) {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    const fields = statFields(pid)
    if (fields === undefined || fields[0] === "Z" || fields[0] === "X") continue
    parents.set(pid, Number(fields[1]))
    if ((group !== undefined && Number(fields[2]) === group) || inRun(pid, marker)) members.add(pid)
  }
  let grew = members.size > 0
  while (grew) {
    grew = false
    for (const [pid, parent] of parents) {
      if (!members.has(pid) && members.has(parent)) {
        members.add(pid)
        grew = true
      }
    }
  }
  return [...members]
}

/** Sends a signal; a process that is gone already is no error. */
export const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name)
  } catch {
    // Gone, or no longer ours.
  }
}

/** Resident memory of the processes in bytes; shared pages count once for each. */
export const residentBytes = (pids: ReadonlyArray<number>): number => {
  let kilobytes = 0
  for (const pid of pids) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, "latin1")
      kilobytes += Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0)
    } catch {
      // Gone since the list was made.
    }
  }
  return kilobytes * 1024
}

/** How long killed processes may take to go. */
const goneMs = 10_000

/**
 * SIGTERM to all of a run, then SIGKILL to what is left after the grace. Resolves when none is, or
 * with those that would not go: of another user, or stuck in the kernel.
 */
export const stopRun = async (
  run: string,
  group: number | undefined,
  graceMs: number,
  patienceMs = goneMs,
): Promise<ReadonlyArray<number>> => {
  const deadline = Date.now() + graceMs
  const asked = new Set<number>()
  for (;;) {
    const members = membersOf(run, group)
    const now = Date.now()
    if (members.length === 0 || now >= deadline + patienceMs) return members
    const isOver = now >= deadline
    for (const pid of members) {
      if (isOver) signal(pid, "SIGKILL")
      else if (!asked.has(pid)) signal(pid, "SIGTERM")
      asked.add(pid)
    }
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}
