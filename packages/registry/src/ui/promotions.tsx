import {
  Alert,
  Badge,
  Button,
  formatTime,
  Select,
  type Tone,
  useLoad,
} from "@ashlar/core/ui/index.ts"
import { useState } from "preact/hooks"
import { api, type ModelAnswer, type PromotionAnswer } from "./client.ts"

const toneOf = (status: string): Tone => {
  if (status === "promoted" || status === "passed" || status === "approve") return "good"
  if (status === "open" || status === "pending") return "warn"
  return "bad"
}

const targetOf = ({ alias, stage }: PromotionAnswer): string => alias ?? `stage ${stage ?? "?"}`

const stateOf = (gate: PromotionAnswer["gates"][number]): string =>
  gate.passed ? "passed" : gate.pending === true ? "pending" : "failed"

/** One request: what every gate said, who voted, and the buttons to vote. */
const Request = (props: {
  readonly request: PromotionAnswer
  readonly onVote: (id: string, vote: "approve" | "reject" | "evaluate", comment: string) => void
}) => {
  const { request } = props
  const [comment, setComment] = useState("")
  const vote = (kind: "approve" | "reject" | "evaluate") =>
    props.onVote(request.id, kind, comment.trim())
  return (
    <article class="k-inset" aria-label={`Request for version ${request.version}`}>
      <div class="k-row k-wrap">
        <Badge tone={toneOf(request.status)}>{request.status}</Badge>
        <strong>
          {targetOf(request)} to v{request.version}
        </strong>
        <span class="k-quiet">
          {request.kind}, asked by {request.requester}, {formatTime(request.created)}
        </span>
      </div>
      {request.reason === undefined ? null : <p>{request.reason}</p>}
      <ul class="gates">
        {request.gates.map((gate, index) => (
          <li key={index}>
            <Badge tone={toneOf(stateOf(gate))}>{stateOf(gate)}</Badge> <strong>{gate.gate}</strong>{" "}
            <span class="k-quiet">{gate.checks.map(({ message }) => message).join("; ")}</span>
          </li>
        ))}
        {request.votes.map((one, index) => (
          <li key={`vote ${index}`}>
            <Badge tone={toneOf(one.vote)}>
              {one.vote === "approve" ? "approved" : "rejected"}
            </Badge>{" "}
            <strong>{one.by}</strong> <span class="k-quiet">{one.comment}</span>
          </li>
        ))}
      </ul>
      {request.status !== "open" ? null : (
        <div class="k-row k-wrap">
          <input
            class="k-input k-grow"
            aria-label="Comment"
            placeholder="Comment"
            maxLength={4000}
            value={comment}
            onInput={(event) => setComment(event.currentTarget.value)}
          />
          <Button kind="primary" onClick={() => vote("approve")}>
            Approve
          </Button>
          <Button onClick={() => vote("reject")}>Reject</Button>
          <Button kind="quiet" onClick={() => vote("evaluate")}>
            Ask the gates again
          </Button>
        </div>
      )}
    </article>
  )
}

/** Requests for the promotion of a model's versions, and a form to ask for one. */
export const Promotions = (props: {
  readonly model: ModelAnswer
  readonly onChange: () => void
}) => {
  const { model } = props
  const protectedAliases = Object.keys(model.policies).filter((name) => !name.startsWith("stage:"))
  const [revision, setRevision] = useState(0)
  const [error, setError] = useState<string>()
  const [alias, setAlias] = useState(protectedAliases[0] ?? "")
  const [version, setVersion] = useState(String(model.versions[0]?.version ?? ""))
  const [reason, setReason] = useState("")
  const { value } = useLoad(`${model.name} ${revision}`, (signal) =>
    api.promotions(model.name, signal),
  )
  const attempt = (work: Promise<unknown>) => {
    work.then(
      () => {
        setError(undefined)
        setRevision((n) => n + 1)
        props.onChange()
      },
      (failure: unknown) => setError(failure instanceof Error ? failure.message : String(failure)),
    )
  }
  const requests = value?.items ?? []
  if (protectedAliases.length === 0 && requests.length === 0) return null
  return (
    <section class="k-card section" aria-label="Promotions">
      <header>
        <h2>Promotions</h2>
        <span class="k-quiet">
          {requests.filter(({ status }) => status === "open").length} open
        </span>
      </header>
      {error === undefined ? null : <Alert>{error}</Alert>}
      {protectedAliases.length === 0 || model.versions.length === 0 ? null : (
        <form
          class="k-inset k-row k-wrap"
          onSubmit={(event) => {
            event.preventDefault()
            attempt(
              api.requestPromotion({
                name: model.name,
                version: Number(version),
                alias,
                ...(reason.trim() === "" ? {} : { reason: reason.trim() }),
              }),
            )
          }}
        >
          <Select
            label="Promote"
            value={version}
            options={model.versions.map((one) => [String(one.version), `v${one.version}`])}
            onChange={setVersion}
          />
          <Select
            label="to"
            value={alias}
            options={protectedAliases.map((name) => [name, name])}
            onChange={setAlias}
          />
          <input
            class="k-input k-grow"
            aria-label="Reason"
            placeholder="Reason"
            maxLength={4000}
            value={reason}
            onInput={(event) => setReason(event.currentTarget.value)}
          />
          <Button kind="primary" type="submit">
            Ask
          </Button>
        </form>
      )}
      {requests.map((request) => (
        <Request
          key={request.id}
          request={request}
          onVote={(id, vote, comment) => attempt(api.vote(id, vote, comment))}
        />
      ))}
    </section>
  )
}
