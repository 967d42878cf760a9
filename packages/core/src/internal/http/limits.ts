/** How many requests a client may make. */
export interface Rate {
  /** Requests a second, sustained. */
  readonly perSecond: number
  /** Requests at once after a pause; default twice `perSecond`. */
  readonly burst?: number
}

interface Bucket {
  tokens: number
  refilled: number
}

/** Clients remembered at most; the one idle longest is forgotten first. */
const capacity = 10_000

/** Token buckets, one a client. */
export interface Limiter {
  /** Takes a token; otherwise the seconds to wait for one. */
  readonly take: (client: string) => number
  /** Seconds to wait for a token, 0 when there is one; takes none. */
  readonly wait: (client: string) => number
}

/** Makes a limiter; `now` is in milliseconds. */
export const makeLimiter = (rate: Rate, now: () => number = Date.now): Limiter => {
  const burst = rate.burst ?? Math.max(1, rate.perSecond * 2)
  const buckets = new Map<string, Bucket>()
  const bucketOf = (client: string): Bucket => {
    const time = now()
    const known = buckets.get(client)
    const bucket = known ?? { tokens: burst, refilled: time }
    bucket.tokens = Math.min(
      burst,
      bucket.tokens + ((time - bucket.refilled) / 1000) * rate.perSecond,
    )
    bucket.refilled = time
    if (known !== undefined) buckets.delete(client)
    buckets.set(client, bucket)
    if (buckets.size > capacity) {
      const oldest = buckets.keys().next()
      if (oldest.done !== true) buckets.delete(oldest.value)
    }
    return bucket
  }
  const shortage = (bucket: Bucket): number =>
    bucket.tokens >= 1 ? 0 : (1 - bucket.tokens) / rate.perSecond
  return {
    wait: (client) => shortage(bucketOf(client)),
    take: (client) => {
      const bucket = bucketOf(client)
      const seconds = shortage(bucket)
      if (seconds === 0) bucket.tokens -= 1
      return seconds
    },
  }
}
