import { type Database, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { RegistryError } from "../../RegistryError.ts"
import type { DeliveryRow, WebhookRow } from "../migrations/0009-webhooks.ts"
import type { Store } from "../store.ts"
import { AddressError } from "./address.ts"
import { type Answer, post, type PostOptions } from "./post.ts"
import { onWake, wake } from "./wake.ts"

/** How deliveries are made. */
export interface DispatchOptions extends PostOptions {
  readonly maxAttempts: number
  readonly firstDelayMs: number
  readonly maxDelayMs: number
  readonly keepMs: number
  readonly pollMs: number
  readonly concurrency: number
  /** The secret of a webhook in clear text. */
  readonly open: (
    webhook: Pick<WebhookRow, "id" | "secret">,
  ) => Effect.Effect<string | undefined, RegistryError>
}

type Claimed = Pick<DeliveryRow, "id" | "webhook" | "body" | "attempts"> &
  Pick<WebhookRow, "url" | "secret">

/** What an attempt came to. */
interface Outcome {
  readonly state: "delivered" | "failed" | "retry"
  readonly answer?: Answer
  readonly error?: string
}

/** Most deliveries to one webhook at a time, so that one that hangs leaves room for the others. */
const perWebhook = 2
/** When another process takes a delivery over, since this one must have died. */
const leaseOf = (timeoutMs: number): number => 2 * timeoutMs + 1000
const sweepMs = 3_600_000

const outcomeOf = (answer: Answer): Outcome => {
  const { status } = answer
  if (status >= 200 && status < 300) return { state: "delivered", answer }
  if (status === 429 || status >= 500) {
    return { state: "retry", answer, error: `answered ${status}` }
  }
  const why = status >= 300 && status < 400 ? "; redirects are not followed" : ""
  return { state: "failed", answer, error: `answered ${status}${why}` }
}

/** When to try again: doubling, with jitter, no earlier than the receiver asks for. */
const delayOf = (
  attempts: number,
  answer: Answer | undefined,
  { firstDelayMs, maxDelayMs }: DispatchOptions,
): number => {
  const backoff = firstDelayMs * 2 ** Math.min(attempts - 1, 30) * (0.75 + Math.random() / 2)
  const asked = Number(answer?.retryAfter) * 1000
  return Math.min(maxDelayMs, Math.max(backoff, Number.isFinite(asked) ? asked : 0))
}

const textOf = (cause: unknown): string =>
  (cause instanceof Error ? cause.message : String(cause)).slice(0, 1000)

const attempt = Effect.fnUntraced(function* (claimed: Claimed, options: DispatchOptions) {
  const secret = yield* options.open({ id: claimed.webhook, secret: claimed.secret })
  const outgoing = {
    id: claimed.id,
    url: claimed.url,
    body: claimed.body,
    secret,
    seconds: Math.floor(Date.now() / 1000),
  }
  return yield* Effect.match(
    Effect.tryPromise({
      try: (signal) => post(outgoing, options, signal),
      catch: (cause) => cause,
    }),
    {
      onSuccess: outcomeOf,
      onFailure: (cause): Outcome => ({
        state: cause instanceof AddressError ? "failed" : "retry",
        error: textOf(cause),
      }),
    },
  )
})

/** Writes down what an attempt came to, unless another process has taken the delivery over. */
const record = (
  { db, build }: Store,
  claimed: Claimed,
  { state, answer, error }: Outcome,
  options: DispatchOptions,
) => {
  const attempts = claimed.attempts + 1
  const isOver = state !== "retry" || attempts >= options.maxAttempts
  const now = Timestamp.now()
  return db.run(
    build
      .updateTable("registry_delivery")
      .set({
        state: state === "delivered" ? "delivered" : isOver ? "failed" : "pending",
        due: isOver ? now : now + Math.round(delayOf(attempts, answer, options)) * 1000,
        finished: isOver ? now : null,
        response_status: answer?.status ?? null,
        // PostgreSQL's text holds no NUL.
        response_body: answer?.body.replaceAll("\0", "\uFFFD") ?? null,
        error: error?.replaceAll("\0", "\uFFFD") ?? null,
      })
      .where("id", "=", claimed.id)
      .where("attempts", "=", attempts)
      .where("state", "=", "pending"),
  )
}

/** Takes deliveries that are due, for as long as an attempt may last. */
const claim = Effect.fnUntraced(function* (
  { db, build }: Store,
  busy: ReadonlyMap<string, number>,
  free: number,
  { timeoutMs }: DispatchOptions,
) {
  const now = Timestamp.now()
  const full = [...busy].filter(([, count]) => count >= perWebhook).map(([id]) => id)
  let query = build
    .selectFrom("registry_delivery as d")
    .innerJoin("registry_webhook as w", "w.id", "d.webhook")
    .select(["d.id", "d.webhook", "d.body", "d.attempts", "w.url", "w.secret"])
    .where("d.state", "=", "pending")
    .where("d.due", "<=", now)
    .where("w.status", "=", "ACTIVE")
    .orderBy("d.due")
    .orderBy("d.created")
    .limit(free * 4)
  if (full.length > 0) query = query.where("d.webhook", "not in", full)
  const counts = new Map(busy)
  const claimed: Array<Claimed> = []
  for (const row of yield* db.all(query)) {
    const count = counts.get(row.webhook) ?? 0
    if (claimed.length >= free || count >= perWebhook) continue
    const { rows } = yield* db.run(
      build
        .updateTable("registry_delivery")
        .set({ attempts: row.attempts + 1, due: now + leaseOf(timeoutMs) * 1000 })
        .where("id", "=", row.id)
        .where("attempts", "=", row.attempts)
        .where("state", "=", "pending")
        .where("due", "<=", now),
    )
    if (rows === 0) continue
    counts.set(row.webhook, count + 1)
    claimed.push(row)
  }
  return claimed
})

/** Gives a delivery back that this process will not see through. */
const release = ({ db, build }: Store, { id, attempts }: Claimed) =>
  db.run(
    build
      .updateTable("registry_delivery")
      .set({ due: Timestamp.now() })
      .where("id", "=", id)
      .where("attempts", "=", attempts + 1)
      .where("state", "=", "pending"),
  )

/** Forgets what was finished long ago, and what webhooks that are gone were still to get. */
const sweep = Effect.fnUntraced(function* ({ db, build }: Store, keepMs: number) {
  const deliveries = build.deleteFrom("registry_delivery")
  yield* db.run(
    deliveries
      .where("state", "!=", "pending")
      .where("finished", "<", Timestamp.now() - keepMs * 1000),
  )
  yield* db.run(
    deliveries.where("webhook", "not in", build.selectFrom("registry_webhook").select("id")),
  )
})

/** Waits to be woken, or for some time. */
const sleepUntilWoken = (db: Database.Database["Service"], ms: number): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const finish = () => {
      clearTimeout(timer)
      stop()
      resume(Effect.void)
    }
    const timer = setTimeout(finish, ms)
    const stop = onWake(db, finish)
    return Effect.sync(() => {
      clearTimeout(timer)
      stop()
    })
  })

/** Delivers what is due until the scope closes. Attempts under way are then cut and come again. */
export const dispatch = Effect.fnUntraced(function* (store: Store, options: DispatchOptions) {
  const scope = yield* Effect.scope
  // Closes after the loop has ended, which would otherwise claim again what is given back.
  const attempts = yield* Effect.acquireRelease(Scope.make("parallel"), Scope.close)
  const busy = new Map<string, number>()
  const total = () => [...busy.values()].reduce((sum, count) => sum + count, 0)
  let swept = 0
  let isWoken = false
  let isFailing = false
  const stop = onWake(store.db, () => {
    isWoken = true
  })

  const deliver = (claimed: Claimed) =>
    Effect.ensuring(
      attempt(claimed, options).pipe(
        Effect.catch((error) => Effect.succeed<Outcome>({ state: "retry", error: error.message })),
        Effect.flatMap((outcome) => record(store, claimed, outcome, options)),
        // If it cannot be recorded, it is due again when the lease ends.
        Effect.ignore,
        Effect.onInterrupt(() => Effect.ignore(release(store, claimed))),
      ),
      Effect.sync(() => {
        const left = (busy.get(claimed.webhook) ?? 1) - 1
        if (left === 0) busy.delete(claimed.webhook)
        else busy.set(claimed.webhook, left)
        wake(store.db)
      }),
    )

  const round = Effect.gen(function* () {
    if (Date.now() - swept > sweepMs) {
      swept = Date.now()
      yield* sweep(store, options.keepMs)
    }
    const free = options.concurrency - total()
    if (free <= 0) return
    for (const claimed of yield* claim(store, busy, free, options)) {
      busy.set(claimed.webhook, (busy.get(claimed.webhook) ?? 0) + 1)
      yield* Effect.forkIn(deliver(claimed), attempts)
    }
  })

  // A database that fails now is asked again after the next wait; that is told once.
  const heard = Effect.matchEffect(round, {
    onSuccess: () => Effect.sync(() => (isFailing = false)),
    onFailure: (error) => {
      if (isFailing) return Effect.void
      isFailing = true
      return Effect.logWarning(`webhooks are not delivered for now: ${error.message}`)
    },
  })

  const loop = Effect.gen(function* () {
    while (true) {
      isWoken = false
      yield* Effect.uninterruptible(heard)
      if (!isWoken) yield* sleepUntilWoken(store.db, options.pollMs)
    }
  })
  yield* Effect.forkIn(Effect.ensuring(loop, Effect.sync(stop)), scope)
})
