import { execFileSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import { join } from "node:path"

/** Runs a program that may write no file larger than so many bytes; gives the lines it printed. */
export const underFileLimit = (
  bytes: number,
  args: ReadonlyArray<string>,
): ReadonlyArray<string> => {
  // The shell counts in blocks of 512 bytes. Without the trap the kernel kills the writer.
  const script = `trap '' XFSZ; ulimit -f ${Math.floor(bytes / 512)}; exec "$@"`
  const node = [process.execPath, "--conditions=@ashlar/source"]
  const said = execFileSync("/bin/sh", ["-c", script, "sh", ...node, ...args], { encoding: "utf8" })
  return said.trim().split("\n")
}

/** Runs work on a file system of 8 MB below the folder; false when none can be mounted here. */
export const onSmallDisk = async (
  folder: string,
  work: (disk: string) => Promise<void>,
): Promise<boolean> => {
  const disk = join(folder, "disk")
  mkdirSync(disk)
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], { stdio: "ignore" })
  } catch {
    return false
  }
  try {
    await work(disk)
  } finally {
    execFileSync("umount", [disk])
  }
  return true
}
