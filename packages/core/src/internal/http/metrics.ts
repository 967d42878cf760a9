/** Upper bounds of the latency histogram, in seconds. */
const bounds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
] as const

interface Series {
  readonly labels: string
  readonly buckets: Float64Array
  sum: number
  count: number
}

/** Counts requests by method, route and status: as many series as the API has, never more. */
export interface HttpMetrics {
  readonly started: () => void
  readonly finished: (method: string, route: string, status: number, seconds: number) => void
  /** Prometheus text format 0.0.4. */
  readonly render: () => string
}

const escape = (value: string): string =>
  value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"')

const processMetrics = (): ReadonlyArray<string> => {
  const { user, system } = process.cpuUsage()
  const metric = (name: string, type: string, help: string, value: number) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    `${name} ${value}`,
  ]
  return [
    ...metric(
      "process_cpu_seconds_total",
      "counter",
      "CPU time used, user and system.",
      (user + system) / 1e6,
    ),
    ...metric(
      "process_resident_memory_bytes",
      "gauge",
      "Resident memory.",
      process.memoryUsage.rss(),
    ),
    ...metric(
      "process_start_time_seconds",
      "gauge",
      "Start time since the Unix epoch.",
      Math.round(Date.now() / 1000 - process.uptime()),
    ),
  ]
}

/** Makes the counters of one server. */
export const makeMetrics = (): HttpMetrics => {
  const all = new Map<string, Series>()
  let inFlight = 0
  const name = "http_server_request_duration_seconds"
  const histogram = (series: Series): ReadonlyArray<string> => {
    let cumulative = 0
    const lines = bounds.map((bound, index) => {
      cumulative += series.buckets[index] ?? 0
      return `${name}_bucket{${series.labels},le="${bound}"} ${cumulative}`
    })
    return [
      ...lines,
      `${name}_bucket{${series.labels},le="+Inf"} ${series.count}`,
      `${name}_sum{${series.labels}} ${series.sum}`,
      `${name}_count{${series.labels}} ${series.count}`,
    ]
  }
  return {
    started: () => {
      inFlight += 1
    },
    finished: (method, route, status, seconds) => {
      inFlight -= 1
      const key = `${method} ${status} ${route}`
      let series = all.get(key)
      if (series === undefined) {
        const labels = `method="${escape(method)}",route="${escape(route)}",status="${status}"`
        series = { labels, buckets: new Float64Array(bounds.length), sum: 0, count: 0 }
        all.set(key, series)
      }
      const index = bounds.findIndex((bound) => seconds <= bound)
      if (index >= 0) series.buckets[index] = (series.buckets[index] ?? 0) + 1
      series.sum += seconds
      series.count += 1
    },
    render: () =>
      [
        `# HELP ${name} How long requests took, by route.`,
        `# TYPE ${name} histogram`,
        ...Array.from(all.values(), histogram).flat(),
        "# HELP http_server_active_requests Requests being served.",
        "# TYPE http_server_active_requests gauge",
        `http_server_active_requests ${inFlight}`,
        ...processMetrics(),
        "",
      ].join("\n"),
  }
}
