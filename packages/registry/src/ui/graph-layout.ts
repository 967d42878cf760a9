import type { GraphAnswer, NodeAnswer } from "../internal/api/answers.ts"

/** A node with its place, in pixels. */
export interface Placed {
  readonly node: NodeAnswer
  readonly x: number
  readonly y: number
}

/** A graph with its nodes in columns: what a node came from is left of it. */
export interface Layout {
  readonly nodes: ReadonlyArray<Placed>
  readonly edges: ReadonlyArray<{ readonly from: Placed; readonly to: Placed }>
  readonly width: number
  readonly height: number
}

/** Size of a node, and room between them. */
export const nodeSize = { width: 190, height: 46, across: 76, down: 18 } as const

/** Columns by the longest way from a source; a cycle ends where it began. */
const columnsOf = (graph: GraphAnswer): ReadonlyMap<string, number> => {
  const before = Map.groupBy(graph.edges, ({ to }) => to)
  const columns = new Map<string, number>()
  const open = new Set<string>()
  const columnOf = (id: string): number => {
    const known = columns.get(id)
    if (known !== undefined) return known
    if (open.has(id)) return 0
    open.add(id)
    const column = Math.max(0, ...(before.get(id) ?? []).map(({ from }) => columnOf(from) + 1))
    open.delete(id)
    columns.set(id, column)
    return column
  }
  for (const { id } of graph.nodes) columnOf(id)
  return columns
}

/** Places the nodes; within a column by the middle of their neighbours (Sugiyama's barycentre). */
export const layoutOf = (graph: GraphAnswer): Layout => {
  const columns = columnsOf(graph)
  const ordered = Array.from(
    Map.groupBy(graph.nodes, ({ id }) => columns.get(id) ?? 0),
    ([column, nodes]) => ({ column, nodes: [...nodes] }),
  ).toSorted((a, b) => a.column - b.column)
  const rank = new Map<string, number>()
  for (const { nodes } of ordered) nodes.forEach(({ id }, i) => rank.set(id, i))
  const neighbours = (id: string): ReadonlyArray<string> =>
    graph.edges.flatMap(({ from, to }) => (from === id ? [to] : to === id ? [from] : []))
  for (let round = 0; round < 4; round++) {
    for (const { nodes } of ordered) {
      const middle = new Map(
        nodes.map(({ id }) => {
          const places = neighbours(id).map((other) => rank.get(other) ?? 0)
          const sum = places.reduce((a, b) => a + b, 0)
          return [id, places.length === 0 ? (rank.get(id) ?? 0) : sum / places.length]
        }),
      )
      nodes.sort((a, b) => (middle.get(a.id) ?? 0) - (middle.get(b.id) ?? 0))
      nodes.forEach(({ id }, i) => rank.set(id, i))
    }
  }
  const tallest = Math.max(1, ...ordered.map(({ nodes }) => nodes.length))
  const { width, height, across, down } = nodeSize
  const room = height + down
  const placed = new Map<string, Placed>()
  for (const [index, { nodes }] of ordered.entries()) {
    const top = ((tallest - nodes.length) * room) / 2
    nodes.forEach((node, i) => {
      placed.set(node.id, { node, x: 16 + index * (width + across), y: 16 + top + i * room })
    })
  }
  return {
    nodes: [...placed.values()],
    edges: graph.edges.flatMap(({ from, to }) => {
      const [start, end] = [placed.get(from), placed.get(to)]
      return start === undefined || end === undefined ? [] : [{ from: start, to: end }]
    }),
    width: 32 + ordered.length * (width + across) - across,
    height: 32 + tallest * room - down,
  }
}
