/** Readings of the machine, from the system's own files; nothing is installed for them. */
import { execFile } from "node:child_process"
import { readFile, statfs } from "node:fs/promises"
import { cpus, freemem, totalmem } from "node:os"
import { parse } from "node:path"

/** Values by MLflow's names, without `system/`. */
export type Reading = Readonly<Record<string, number>>

/** Reads values; what cannot be read is left out. */
export type Probe = () => Promise<Reading>

/** Time of all processors since the start, in milliseconds. */
const processorTimes = (): { readonly busy: number; readonly all: number } => {
  let busy = 0
  let all = 0
  for (const { times } of cpus()) {
    const working = times.user + times.nice + times.sys + times.irq
    busy += working
    all += working + times.idle
  }
  return { busy, all }
}

/** Share of time that processors worked since the last reading. */
export const cpuProbe = (): Probe => {
  let before = processorTimes()
  return async () => {
    const now = processorTimes()
    const all = now.all - before.all
    const share = all <= 0 ? 0 : ((now.busy - before.busy) / all) * 100
    before = now
    return { cpu_utilization_percentage: share }
  }
}

const kibibytes = (text: string, name: string): number | undefined => {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1]
  return found === undefined ? undefined : Number(found) * 1024
}

/** Memory that is neither free nor a cache that can be dropped. */
export const memoryProbe: Probe = async () => {
  const text = await readFile("/proc/meminfo", "utf8").catch(() => "")
  const total = kibibytes(text, "MemTotal") ?? totalmem()
  const used = total - (kibibytes(text, "MemAvailable") ?? freemem())
  return {
    system_memory_usage_megabytes: used / 1e6,
    system_memory_usage_percentage: (used / total) * 100,
  }
}

/** The disk of the root directory; `df` and psutil count so. */
export const diskProbe: Probe = async () => {
  const { bsize, blocks, bfree, bavail } = await statfs(parse(process.cwd()).root)
  const used = (blocks - bfree) * bsize
  const available = bavail * bsize
  return {
    disk_usage_percentage: (used / (used + available)) * 100,
    disk_usage_megabytes: used / 1e6,
    disk_available_megabytes: available / 1e6,
  }
}

const traffic = async (): Promise<{ readonly received: number; readonly sent: number }> => {
  const text = await readFile("/proc/net/dev", "utf8")
  let received = 0
  let sent = 0
  for (const line of text.split("\n")) {
    const [, numbers] = line.split(":")
    const fields = numbers?.trim().split(/\s+/) ?? []
    received += Number(fields[0] ?? 0)
    sent += Number(fields[8] ?? 0)
  }
  return { received, sent }
}

/** Traffic of all interfaces since the first reading. Linux alone says. */
export const networkProbe = (): Probe => {
  let first: Awaited<ReturnType<typeof traffic>> | undefined
  return async () => {
    const now = await traffic()
    first ??= now
    return {
      network_receive_megabytes: (now.received - first.received) / 1e6,
      network_transmit_megabytes: (now.sent - first.sent) / 1e6,
    }
  }
}

const fields =
  "index,memory.used,memory.total,utilization.gpu,power.draw,enforced.power.limit" as const

/** Values of a line of NVIDIA's tool; what a device does not report is not a number. */
export const gpuReading = (csv: string): Reading => {
  const values: Record<string, number> = {}
  for (const line of csv.trim().split("\n")) {
    const [index, used, total, busy, power, most] = line.split(",").map((field) => field.trim())
    if (index === undefined || !/^\d+$/.test(index)) continue
    const put = (name: string, value: number) => {
      if (Number.isFinite(value)) values[`gpu_${index}_${name}`] = value
    }
    // The tool says MiB, MLflow's megabytes are 10^6.
    put("memory_usage_megabytes", (Number(used) * 1024 * 1024) / 1e6)
    put("memory_usage_percentage", (Number(used) / Number(total)) * 100)
    put("utilization_percentage", Number(busy))
    put("power_usage_watts", Number(power))
    put("power_usage_percentage", (Number(power) / Number(most)) * 100)
  }
  return values
}

/** NVIDIA's GPUs, by the tool that comes with their driver. */
export const gpuProbe: Probe = () =>
  new Promise((resolve, reject) => {
    execFile(
      "nvidia-smi",
      [`--query-gpu=${fields}`, "--format=csv,noheader,nounits"],
      { timeout: 5000, killSignal: "SIGKILL", windowsHide: true },
      (error, stdout) => (error === null ? resolve(gpuReading(stdout)) : reject(error)),
    )
  })
