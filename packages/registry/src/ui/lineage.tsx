import { Alert, Empty, Spinner, useLoad } from "@ashlar/core/ui/index.ts"
import { useMemo } from "preact/hooks"
import { api, type NodeAnswer } from "./client.ts"
import { layoutOf, nodeSize } from "./graph-layout.ts"
import { href } from "./location.ts"

const linkOf = ({ link }: NodeAnswer): string | undefined => {
  if (link?.run !== undefined) return href(`/run/${encodeURIComponent(link.run)}`)
  if (link?.model !== undefined) {
    return href(
      `/models/${encodeURIComponent(link.model)}`,
      link.version === undefined ? {} : { v: String(link.version) },
    )
  }
  return undefined
}

const clipped = (text: string): string => (text.length > 26 ? `${text.slice(0, 25)}…` : text)

const NodeBox = (props: { readonly node: NodeAnswer; readonly x: number; readonly y: number }) => {
  const { node, x, y } = props
  const link = linkOf(node)
  const content = (
    <>
      <title>{node.detail === undefined ? node.label : `${node.label}\n${node.detail}`}</title>
      <rect width={nodeSize.width} height={nodeSize.height} rx="7" />
      <text class="kind" x="12" y="18">
        {node.kind}
      </text>
      <text x="12" y="35">
        {clipped(node.label)}
      </text>
    </>
  )
  return (
    <g transform={`translate(${x} ${y})`} data-focus={node.isStart}>
      {link === undefined ? content : <a href={link}>{content}</a>}
    </g>
  )
}

/** What something came from, and what came of it. */
export const LineagePage = ({ params }: { readonly params: URLSearchParams }) => {
  const node = Object.fromEntries(
    ["run", "model", "version"].flatMap((key) => {
      const value = params.get(key)
      return value === null ? [] : [[key, value]]
    }),
  )
  const { value, error } = useLoad(JSON.stringify(node), (signal) => api.lineage(node, signal))
  const layout = useMemo(() => (value === undefined ? undefined : layoutOf(value)), [value])
  return (
    <div class="page" style={{ maxWidth: "none" }}>
      <div class="page-head">
        <h1>Lineage</h1>
        <span class="k-quiet">{Object.values(node).join(" v")}</span>
      </div>
      {error === undefined ? null : <Alert>{error.message}</Alert>}
      {layout === undefined && error === undefined ? <Spinner /> : null}
      {layout === undefined ? null : layout.nodes.length === 0 ? (
        <Empty title="Nothing is known">No lineage events mention it.</Empty>
      ) : (
        <div class="k-card graph">
          <svg
            width={layout.width}
            height={layout.height}
            viewBox={`0 0 ${layout.width} ${layout.height}`}
            role="group"
            aria-label={`Lineage of ${layout.nodes.length} nodes`}
          >
            {layout.edges.map(({ from, to }) => {
              const x1 = from.x + nodeSize.width
              const y1 = from.y + nodeSize.height / 2
              const y2 = to.y + nodeSize.height / 2
              const bend = Math.max(30, (to.x - x1) / 2)
              return (
                <path
                  key={`${from.node.id} ${to.node.id}`}
                  d={`M${x1} ${y1}C${x1 + bend} ${y1} ${to.x - bend} ${y2} ${to.x} ${y2}`}
                />
              )
            })}
            {layout.nodes.map((placed) => (
              <NodeBox key={placed.node.id} {...placed} />
            ))}
          </svg>
        </div>
      )}
      {value?.truncated === true ? (
        <p class="k-quiet">There is more than is shown: open a node to see what lies around it.</p>
      ) : null}
    </div>
  )
}
