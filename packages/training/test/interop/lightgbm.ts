/** Runs LightGBM on our frames, through Python. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Frame } from "@ashlar/training"

/** What LightGBM reached. */
export interface Peer {
  readonly threads: number
  readonly bin_s: number
  readonly total_s: number
  readonly auc: number
  readonly logloss: number
}

/** Trains LightGBM with its defaults at each number of threads. */
export const lightgbm = (
  python: string,
  train: Frame.Frame,
  valid: Frame.Frame,
  iterations: number,
  threads: ReadonlyArray<number>,
): ReadonlyArray<Peer> => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-lightgbm-"))
  const bytes = (column: Float32Array) =>
    new Uint8Array(column.buffer, column.byteOffset, column.byteLength)
  try {
    for (const [name, frame] of [
      ["train", train],
      ["valid", valid],
    ] as const) {
      writeFileSync(join(folder, `${name}_x.bin`), Buffer.concat(frame.columns.map(bytes)))
      writeFileSync(join(folder, `${name}_y.bin`), bytes(frame.label))
    }
    const categorical = train.categorical.map((name) => train.features.indexOf(name))
    const meta = { features: train.features.length, categorical, iterations }
    writeFileSync(join(folder, "meta.json"), JSON.stringify(meta))
    const script = fileURLToPath(new URL("lightgbm_peer.py", import.meta.url))
    const out = execFileSync(python, [script, folder, threads.join(",")], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    })
    return out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Peer)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
