/**
 * What a writer remembers of each model: its salt, and the newest ids.
 *
 * @module
 */
import { randomBytes } from "node:crypto"
import { type Database, PredictionSink } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { RecentIds } from "./fingerprint.ts"
import { unpack } from "./pack.ts"
import type { Tables } from "./tables.ts"

/** How the writer remembers ids. */
export interface IngestOptions {
  /** Newest predictions of a model whose ids are recognised when they come again. */
  readonly horizon: number
}

/** Models whose ids are kept in memory; those used longest ago are dropped. */
const maxStates = 1000

/** A model as a writer knows it. */
export interface ModelState {
  readonly salt: number
  /** Last chunk whose ids are in `recent`. */
  seq: number
  readonly recent: RecentIds
}

/** The models of one database. */
export const makeModels = (db: Database.Database["Service"], options: IngestOptions) => {
  const build = db.build<Tables>()
  const states = new Map<string, ModelState>()

  /**
   * The model's state, made before any transaction: what another one may still roll back, such as a
   * new model's salt, is never relied on. The models used longest ago are forgotten, and learnt again
   * when they are needed.
   */
  const get = Effect.fnUntraced(function* (model: string) {
    const known = states.get(model)
    if (known !== undefined) {
      states.delete(model)
      states.set(model, known)
      return known
    }
    const find = db.first(
      build.selectFrom("monitoring_model").select("salt").where("name", "=", model),
    )
    let row = yield* find
    if (row === undefined) {
      // 53 random bits: what a portable integer column holds.
      const salt = Number(randomBytes(8).readBigUInt64LE() >> 11n)
      yield* db.run(
        build
          .insertInto("monitoring_model")
          .values({ name: model, salt, predictions: 0, labels: 0, label_kind: null })
          .onConflict((conflict) => conflict.doNothing()),
      )
      row = yield* find
    }
    if (row === undefined) {
      return yield* new PredictionSink.PredictionSinkError({
        reason: "Internal",
        message: `model '${model}' was stored and is gone; was its row deleted?`,
      })
    }
    const state: ModelState = { salt: row.salt, seq: 0, recent: new RecentIds(options.horizon) }
    states.set(model, state)
    if (states.size > maxStates) {
      for (const oldest of states.keys()) {
        states.delete(oldest)
        break
      }
    }
    return state
  })

  /** Learns the ids of chunks that this process did not write, newest `horizon` of them. */
  const catchUp = Effect.fnUntraced(function* (model: string, state: ModelState, to: number) {
    if (state.seq >= to) return
    const chunks = yield* db.all(
      build
        .selectFrom("monitoring_chunk")
        .select(["seq", "rows"])
        .where("model", "=", model)
        .where("seq", ">", state.seq)
        .where("seq", "<=", to)
        .orderBy("seq", "desc"),
    )
    let from = to + 1
    let rows = 0
    for (const chunk of chunks) {
      if (rows >= options.horizon) break
      rows += chunk.rows
      from = chunk.seq
    }
    for (let seq = from; seq <= to; seq += 16) {
      const parts = yield* db.all(
        build
          .selectFrom("monitoring_chunk_data")
          .select("data")
          .where("model", "=", model)
          .where("kind", "=", "score")
          .where("seq", ">=", seq)
          .where("seq", "<=", Math.min(to, seq + 15))
          .orderBy("seq")
          .orderBy("part"),
      )
      for (const { data } of parts) {
        const columns = unpack(data, (name) => name === "k:a" || name === "k:b")
        const a = columns.get("k:a") as Int32Array
        const b = columns.get("k:b") as Int32Array
        for (let i = 0; i < a.length; i++) state.recent.add(a[i] as number, b[i] as number)
      }
    }
    state.seq = to
  })

  return { get, catchUp, forget: (model: string) => void states.delete(model) }
}
