import { hostname } from "node:os"
import * as Effect from "effect/Effect"
import type { Database } from "../../Database.ts"
import * as Id from "../../Id.ts"
import { now } from "../../Timestamp.ts"
import type { Tables } from "./tables.ts"

/** Names this consumer: host, process and a number of its own. */
export const ownerName = (): string => `${hostname()}/${process.pid}/${Id.make()}`

/** True when the owner was a process of this host that is gone; its lease need not be waited for. */
const isDead = (owner: string): boolean => {
  const [host, pid] = owner.split("/")
  if (host !== hostname() || pid === undefined) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH"
  }
}

/** The right to feed a consumer group: one owner at a time, until its lease runs out. */
export const leases = (
  db: Database["Service"],
  group: { readonly topic: string; readonly group: string },
  owner: string,
  leaseMs: number,
) => {
  const build = db.build<Tables>()
  const update = () =>
    build
      .updateTable("ashlar_consumer")
      .where("topic", "=", group.topic)
      .where("consumer_group", "=", group.group)
  const until = () => now() + leaseMs * 1000

  const register = db.run(
    build
      .insertInto("ashlar_consumer")
      .values({
        topic: group.topic,
        consumer_group: group.group,
        position: 0,
        owner: "",
        leased_until: 0,
      })
      .onConflict((conflict) => conflict.doNothing()),
  )

  /** Takes or renews the lease; the stored position, or undefined when another has it. */
  const claim = Effect.gen(function* () {
    const taken = yield* db.all(
      update()
        .set({ owner, leased_until: until() })
        .where((e) => e.or([e("owner", "in", [owner, ""]), e("leased_until", "<", now())]))
        .returning("position"),
    )
    return taken[0]?.position
  })

  /** Frees the lease of a process of this host that died. */
  const buryDead = Effect.gen(function* () {
    const holder = yield* db.first(
      build
        .selectFrom("ashlar_consumer")
        .select("owner")
        .where("topic", "=", group.topic)
        .where("consumer_group", "=", group.group),
    )
    if (holder === undefined || !isDead(holder.owner)) return
    yield* db.run(update().set({ owner: "" }).where("owner", "=", holder.owner))
  })

  return {
    register,
    claim: Effect.flatMap(claim, (position) =>
      position === undefined ? Effect.andThen(buryDead, claim) : Effect.succeed(position),
    ),
    /** True while the lease is ours. */
    renew: Effect.map(
      Effect.suspend(() =>
        db.run(update().set({ leased_until: until() }).where("owner", "=", owner)),
      ),
      ({ rows }) => rows === 1,
    ),
    advance: (position: number) =>
      Effect.map(
        db.run(update().set({ position }).where("owner", "=", owner)),
        ({ rows }) => rows === 1,
      ),
    release: Effect.suspend(() =>
      db.run(update().set({ owner: "", leased_until: 0 }).where("owner", "=", owner)),
    ),
  }
}
