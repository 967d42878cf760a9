import {
  Alert,
  Badge,
  formatBytes,
  formatTime,
  Spinner,
  type Tone,
  useLoad,
} from "@ashlar/core/ui/index.ts"
import type { ComponentChildren } from "preact"
import { useState } from "preact/hooks"
import { api, type HistoryAnswer, type ModelAnswer, type VersionAnswer } from "./client.ts"
import { change, href, usePlace } from "./location.ts"
import { Promotions } from "./promotions.tsx"

const Section = (props: {
  readonly title: string
  readonly children: ComponentChildren
  readonly aside?: ComponentChildren
}) => (
  <section class="k-card section" aria-label={props.title}>
    <header>
      <h2>{props.title}</h2>
      {props.aside}
    </header>
    {props.children}
  </section>
)

const specText = (specs: VersionAnswer["inputs"]): string =>
  specs.map(({ name, datatype, shape }) => `${name}: ${datatype}[${shape.join(", ")}]`).join(", ")

const actionTone = (action: string): Tone =>
  /refus|reject/.test(action) ? "bad" : /promot|approv/.test(action) ? "good" : "plain"

/** What an entry of the record says, in one line. */
const detailText = (detail: unknown): string => {
  if (typeof detail !== "object" || detail === null) return String(detail ?? "")
  return Object.entries(detail)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([key, value]) =>
      typeof value === "object" ? `${key} ${JSON.stringify(value)}` : `${key} ${String(value)}`,
    )
    .join(", ")
    .slice(0, 400)
}

/** The rules of a policy, one a line. */
const policyRules = (policy: unknown): ReadonlyArray<string> => {
  if (typeof policy !== "object" || policy === null) return []
  const gates: unknown = Reflect.get(policy, "gates")
  return Array.isArray(gates) ? gates.map(detailText) : [detailText(policy)]
}

const Aliases = ({ model }: { readonly model: ModelAnswer }) => {
  const names = [...new Set([...Object.keys(model.aliases), ...Object.keys(model.policies)])].sort()
  if (names.length === 0) return <p class="k-inset k-quiet">No alias points to a version yet.</p>
  return (
    <table class="k-table">
      <thead>
        <tr>
          <th>Alias</th>
          <th>Version</th>
          <th>Gate</th>
        </tr>
      </thead>
      <tbody>
        {names.map((alias) => {
          const policy = model.policies[alias]
          const version = model.aliases[alias]
          return (
            <tr key={alias}>
              <td>
                <strong>{alias}</strong>
              </td>
              <td>
                {version === undefined ? <span class="k-quiet">nowhere yet</span> : `v${version}`}
              </td>
              <td>
                {policy === undefined ? (
                  <span class="k-quiet">Open: anybody who may write moves it</span>
                ) : (
                  <>
                    <Badge tone="warn">protected</Badge>
                    {policyRules(policy).map((rule) => (
                      <div key={rule} class="k-mono">
                        {rule}
                      </div>
                    ))}
                  </>
                )}
              </td>
            </tr>
          )
        })}
      </tbody>
    </table>
  )
}

const Version = ({ version }: { readonly version: VersionAnswer }) => (
  <div class="k-inset">
    <dl class="facts">
      {(
        [
          ["Flavor", version.flavor ?? ""],
          ["Takes", specText(version.inputs)],
          ["Gives", specText(version.outputs)],
          ["Digest", version.digest ?? ""],
          ...Object.entries(version.tags).map(([key, value]) => [`Tag ${key}`, value] as const),
        ] as const
      ).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd class={name === "Digest" ? "k-mono" : ""}>{value === "" ? "-" : value}</dd>
        </div>
      ))}
    </dl>
    <table class="k-table" style={{ marginTop: "10px" }}>
      <tbody>
        {version.files.slice(0, 200).map(({ path, size }) => (
          <tr key={path}>
            <td class="k-mono">{path}</td>
            <td class="k-number k-quiet">{formatBytes(size)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
)

const Versions = (props: { readonly model: ModelAnswer; readonly open: number | undefined }) => (
  <table class="k-table">
    <thead>
      <tr>
        <th>Version</th>
        <th>Aliases</th>
        <th>Run</th>
        <th>Description</th>
        <th>Registered</th>
        <th />
      </tr>
    </thead>
    <tbody>
      {props.model.versions.map((version) => [
        <tr key={version.version}>
          <td>
            <button
              type="button"
              class="k-button"
              data-kind="quiet"
              aria-expanded={props.open === version.version}
              onClick={() =>
                change({ v: props.open === version.version ? undefined : String(version.version) })
              }
            >
              v{version.version}
            </button>
          </td>
          <td>
            <span class="k-row k-wrap">
              {version.aliases.map((alias) => (
                <Badge key={alias} tone="accent">
                  {alias}
                </Badge>
              ))}
            </span>
          </td>
          <td>
            {version.runId === undefined ? (
              <span class="k-quiet">-</span>
            ) : (
              <a class="k-mono" href={href(`/run/${encodeURIComponent(version.runId)}`)}>
                {version.runId.slice(-8)}
              </a>
            )}
          </td>
          <td>{version.description}</td>
          <td class="k-quiet">{formatTime(version.created)}</td>
          <td class="k-number">
            <a
              href={href("/lineage", {
                model: version.name,
                version: String(version.version),
              })}
            >
              Lineage
            </a>
          </td>
        </tr>,
        props.open === version.version ? (
          <tr key={`${version.version} open`}>
            <td colSpan={6} style={{ padding: 0, background: "var(--bg)" }}>
              <Version version={version} />
            </td>
          </tr>
        ) : null,
      ])}
    </tbody>
  </table>
)

const History = ({ entries }: { readonly entries: ReadonlyArray<HistoryAnswer> }) => (
  <div style={{ maxHeight: "420px", overflow: "auto" }}>
    <table class="k-table">
      <tbody>
        {entries.map(({ position, time, action, detail }) => (
          <tr key={position}>
            <td class="k-quiet" style={{ whiteSpace: "nowrap" }}>
              {formatTime(time)}
            </td>
            <td>
              <Badge tone={actionTone(action)}>{action}</Badge>
            </td>
            <td class="k-mono">{detailText(detail)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
)

/** A model: its versions, who protects its aliases, and what happened to it. */
export const ModelPage = ({ name }: { readonly name: string }) => {
  const { params } = usePlace()
  const [revision, setRevision] = useState(0)
  const { value: model, error } = useLoad(`${name} ${revision}`, (signal) =>
    api.model(name, signal),
  )
  if (error !== undefined) {
    return (
      <div class="page">
        <Alert>{error.message}</Alert>
      </div>
    )
  }
  if (model === undefined) {
    return (
      <div class="page">
        <Spinner />
      </div>
    )
  }
  const open = Number(params.get("v"))
  return (
    <div class="page">
      <div class="page-head">
        <a href={href("/models")}>Models</a>
        <span class="k-quiet">/</span>
        <h1>{model.name}</h1>
      </div>
      {model.description === "" ? null : <p class="k-quiet">{model.description}</p>}
      <Section title="Aliases and gates">
        <Aliases model={model} />
      </Section>
      <Promotions model={model} onChange={() => setRevision((n) => n + 1)} />
      <Section title={`Versions (${model.versions.length})`}>
        <div style={{ overflow: "auto" }}>
          <Versions model={model} open={open > 0 ? open : undefined} />
        </div>
      </Section>
      <Section title="Record">
        <History entries={model.history} />
      </Section>
    </div>
  )
}
