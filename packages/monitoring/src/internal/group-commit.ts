/**
 * Group commit: calls that wait while another one commits are committed together, in one
 * transaction. A call returns when its own data is committed, and is told its own error.
 *
 * @module
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Semaphore from "effect/Semaphore"

interface Waiting<Item, E> {
  readonly item: Item
  exit: Exit.Exit<void, E> | undefined
}

/** Commits items through `flush`, at most `maxRows` rows at a time (always at least one item). */
export const groupCommit = <Item extends { readonly rows: number }, E>(
  flush: (items: ReadonlyArray<Item>) => Effect.Effect<void, E>,
  maxRows: number,
): ((item: Item) => Effect.Effect<void, E>) => {
  const turn = Semaphore.makeUnsafe(1)
  const waiting: Array<Waiting<Item, E>> = []

  const take = (): ReadonlyArray<Waiting<Item, E>> => {
    let rows = 0
    let count = 0
    for (const { item } of waiting) {
      if (count > 0 && rows + item.rows > maxRows) break
      rows += item.rows
      count++
    }
    return waiting.splice(0, count)
  }

  /** Several items failed together: each alone tells whose fault it was. */
  const commit = Effect.fnUntraced(function* (group: ReadonlyArray<Waiting<Item, E>>) {
    const exit = yield* Effect.exit(flush(group.map((each) => each.item)))
    const alone = Exit.isFailure(exit) && group.length > 1 && !Cause.hasInterrupts(exit.cause)
    for (const each of group) {
      each.exit = alone ? yield* Effect.exit(flush([each.item])) : exit
    }
  })

  return (item) =>
    Effect.suspend(() => {
      const mine: Waiting<Item, E> = { item, exit: undefined }
      waiting.push(mine)
      const untilMine: Effect.Effect<void, E> = Effect.suspend(() => {
        if (mine.exit !== undefined) return mine.exit
        return Effect.andThen(commit(take()), untilMine)
      })
      return turn
        .withPermits(1)(Effect.uninterruptible(untilMine))
        .pipe(
          Effect.onInterrupt(() =>
            Effect.sync(() => {
              const at = waiting.indexOf(mine)
              if (at >= 0) waiting.splice(at, 1)
            }),
          ),
        )
    })
}
