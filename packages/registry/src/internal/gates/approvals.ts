import { Auth, Timestamp } from "@ashlar/core"
import * as Schema from "effect/Schema"
import type { Actor } from "../../Actor.ts"
import type { ApprovalsGate } from "../../Policy.ts"
import type { VoteRow } from "../migrations/0007-governance.ts"
import { type GateResult, result } from "./result.ts"

type Gate = typeof ApprovalsGate.Type

/** Seven days, in seconds. */
const presetExpiry = 604_800

const decodeScopes = Schema.decodeUnknownSync(Schema.Array(Auth.Scope))

/** Why an actor may not vote at a gate; `undefined` when it may. */
export const unfit = (gate: Gate, actor: Actor, requester: string): string | undefined => {
  if (gate.selfApproval !== true && actor.name === requester) {
    return `'${actor.name}' asked for this promotion and may not approve it`
  }
  const { principals, scope } = gate
  if (principals === undefined && scope === undefined) return undefined
  if (principals?.includes(actor.name) === true) return undefined
  if (
    scope !== undefined &&
    Auth.allows({ name: actor.name, scopes: actor.scopes ?? [] }, scope.verb, scope.project)
  ) {
    return undefined
  }
  const who = [
    ...(principals === undefined ? [] : [principals.map((name) => `'${name}'`).join(", ")]),
    ...(scope === undefined ? [] : [`holders of ${scope.verb} on '${scope.project}'`]),
  ]
  return `'${actor.name}' is not among those who may approve: ${who.join(", or ")}`
}

/** What a vote has to be about to count. */
export interface About {
  /** Of the version's content. */
  readonly digest: string
  /** Of the policy. */
  readonly policy: string
  readonly requester: string
  readonly now: number
}

/** The approvals that count at a gate: of these bytes, under this policy, and not too old. */
export const counting = (
  gate: Gate,
  votes: ReadonlyArray<VoteRow>,
  about: About,
): ReadonlyArray<VoteRow> => {
  const oldest = about.now - (gate.expiresSeconds ?? presetExpiry) * 1_000_000
  return votes.filter((vote) => {
    const actor = { name: vote.principal, scopes: decodeScopes(JSON.parse(vote.scopes)) }
    return (
      vote.vote === "approve" &&
      vote.digest === about.digest &&
      vote.policy === about.policy &&
      vote.time > oldest &&
      unfit(gate, actor, about.requester) === undefined
    )
  })
}

/** The gate `approvals`: missing votes are awaited. */
export const check = (gate: Gate, votes: ReadonlyArray<VoteRow>, about: About): GateResult => {
  const found = counting(gate, votes, about)
  const passed = found.length >= gate.count
  const given = found.map(({ principal, time }) => `${principal} (${Timestamp.toIso(time)})`)
  const message =
    `${found.length} of ${gate.count} approvals` +
    (given.length === 0 ? "" : `: ${given.join(", ")}`)
  return result(
    "approvals",
    [{ name: "approvals", passed, observed: found.length, required: gate.count, message }],
    { pending: true },
  )
}
