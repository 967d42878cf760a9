import { useLoad } from "@ashlar/core/ui/index.ts"
import { api, numberOf } from "./client.ts"
import type { Axis, History } from "./curves.ts"

/** Runs of one request. */
const atOnce = 100

/** A part of an axis, or all of it. */
export type Range = readonly [from: number, to: number] | undefined

/** Histories of a metric of many runs, thinned to what a chart can show of a range. */
export const useHistories = (
  runIds: ReadonlyArray<string>,
  metric: string | undefined,
  axis: Axis,
  range: Range,
  samples: number,
  revision: number,
) => {
  const key =
    metric === undefined || runIds.length === 0
      ? undefined
      : JSON.stringify([metric, axis, range, samples, revision, runIds])
  return useLoad(key, async (signal): Promise<ReadonlyArray<History>> => {
    const all: Array<History> = []
    for (let from = 0; from < runIds.length; from += atOnce) {
      const { series } = await api.histories(
        {
          runs: runIds.slice(from, from + atOnce),
          keys: metric === undefined ? [] : [metric],
          samples,
          axis,
          ...(range === undefined ? {} : { start: range[0], end: range[1] }),
        },
        signal,
      )
      for (const { runId, steps, times, values } of series) {
        all.push({ runId, steps, times, values: values.map(numberOf) })
      }
    }
    return all
  })
}
