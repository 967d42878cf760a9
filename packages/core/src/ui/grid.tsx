/**
 * A grid of any number of rows and columns, of which only what is in view is in the page. Columns on
 * the left can be pinned. Arrow keys move the active cell.
 *
 * @module
 */
import type { ComponentChildren } from "preact"
import { useEffect, useRef, useState } from "preact/hooks"
import { useWindow } from "./hooks.ts"

/** A column. */
export interface GridColumn {
  readonly id: string
  readonly width: number
  readonly align?: "right"
}

/** What a grid shows. */
export interface GridProps {
  readonly label: string
  /** Columns that stay in view on the left. */
  readonly pinned: ReadonlyArray<GridColumn>
  readonly columns: ReadonlyArray<GridColumn>
  readonly rowCount: number
  readonly head: (column: GridColumn) => ComponentChildren
  readonly cell: (row: number, column: GridColumn) => ComponentChildren
  readonly sortOf?: (column: GridColumn) => "ascending" | "descending" | undefined
  readonly isSelected?: (row: number) => boolean
  /** Enter, or a double click. */
  readonly onOpen?: (row: number) => void
  /** Space. */
  readonly onToggle?: (row: number) => void
  /** A column was dropped before another. */
  readonly onMove?: (id: string, before: string) => void
  /** Tells which rows and columns are in view. */
  readonly onView?: (view: GridView) => void
}

/** The rows and columns in view; ends are exclusive. */
export interface GridView {
  readonly rows: readonly [start: number, end: number]
  readonly columns: readonly [start: number, end: number]
}

const rowHeight = 30
const headHeight = 34

const offsetsOf = (columns: ReadonlyArray<GridColumn>): ReadonlyArray<number> => {
  const offsets: Array<number> = []
  let at = 0
  for (const { width } of columns) {
    offsets.push(at)
    at += width
  }
  return offsets
}

const widthOf = (columns: ReadonlyArray<GridColumn>): number =>
  columns.reduce((sum, { width }) => sum + width, 0)

interface Place {
  readonly row: number
  readonly column: number
}

/** Where a key moves the active cell. */
const moved = (key: string, from: Place, rows: number, columns: number): Place | undefined => {
  const page = 20
  const steps: Readonly<Record<string, readonly [row: number, column: number]>> = {
    ArrowDown: [1, 0],
    ArrowUp: [-1, 0],
    ArrowRight: [0, 1],
    ArrowLeft: [0, -1],
    PageDown: [page, 0],
    PageUp: [-page, 0],
    Home: [0, -columns],
    End: [0, columns],
  }
  const step = steps[key]
  if (step === undefined) return undefined
  const clamp = (value: number, count: number) => Math.max(0, Math.min(count - 1, value))
  return { row: clamp(from.row + step[0], rows), column: clamp(from.column + step[1], columns) }
}

/** The grid. It fills its container, which must have a height. */
export const Grid = (props: GridProps) => {
  const { pinned, columns, rowCount } = props
  const scroller = useRef<HTMLDivElement>(null)
  const [active, setActive] = useState<Place>()
  const pinnedWidth = widthOf(pinned)
  const pinnedOffsets = offsetsOf(pinned)
  const rows = useWindow({ ref: scroller, count: rowCount, size: () => rowHeight, overscan: 4 })
  const across = useWindow({
    ref: scroller,
    count: columns.length,
    size: (index) => columns[index]?.width ?? 100,
    sizes: columns,
    horizontal: true,
    overscan: 2,
  })
  const width = pinnedWidth + across.total
  const view: GridView = {
    rows: [rows.items[0]?.index ?? 0, (rows.items.at(-1)?.index ?? -1) + 1],
    columns: [across.items[0]?.index ?? 0, (across.items.at(-1)?.index ?? -1) + 1],
  }
  const mark = `${view.rows.join()} ${view.columns.join()} ${columns.length} ${rowCount}`
  useEffect(() => props.onView?.(view), [mark, props.onView])

  const columnAt = (index: number): GridColumn | undefined =>
    index < pinned.length ? pinned[index] : columns[index - pinned.length]

  const show = (place: Place) => {
    const element = scroller.current
    setActive(place)
    if (element === null) return
    const top = place.row * rowHeight
    const visible = element.clientHeight - headHeight
    if (top < element.scrollTop) element.scrollTop = top
    else if (top + rowHeight > element.scrollTop + visible) {
      element.scrollTop = top + rowHeight - visible
    }
    const index = place.column - pinned.length
    if (index < 0) return
    const left = offsetsOf(columns)[index] ?? 0
    const right = left + (columns[index]?.width ?? 0)
    const room = element.clientWidth - pinnedWidth
    if (left < element.scrollLeft) element.scrollLeft = left
    else if (right > element.scrollLeft + room) element.scrollLeft = right - room
  }

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.target !== scroller.current) return
    const from = active ?? { row: 0, column: 0 }
    const next = moved(event.key, from, rowCount, pinned.length + columns.length)
    if (next !== undefined) {
      event.preventDefault()
      show(active === undefined ? from : next)
    } else if (event.key === "Enter" && active !== undefined) props.onOpen?.(active.row)
    else if (event.key === " " && active !== undefined) {
      event.preventDefault()
      props.onToggle?.(active.row)
    }
  }

  const cellId = (place: Place) =>
    `${props.label.replaceAll(/\W/g, "")}-${place.row}-${place.column}`
  // Rows and cells that leave on one side come back on the other: changing what is in the page costs
  // much less than making it.
  const slot = (index: number, count: number): number => index % Math.max(1, count)

  const cell = (row: number, index: number, column: GridColumn, left: number, key: string) => {
    const isActive = active?.row === row && active.column === index
    const content = props.cell(row, column)
    return (
      <div
        key={key}
        id={isActive ? cellId(active) : undefined}
        class="k-grid-cell"
        role="gridcell"
        aria-colindex={index + 1}
        data-align={column.align}
        data-active={isActive ? "" : undefined}
        title={typeof content === "string" ? content : undefined}
        style={{ left: `${left}px`, width: `${column.width}px` }}
      >
        {content}
      </div>
    )
  }
  const headCell = (index: number, column: GridColumn, left: number) => (
    <div
      key={column.id}
      class="k-grid-cell"
      role="columnheader"
      aria-colindex={index + 1}
      aria-sort={props.sortOf?.(column)}
      data-align={column.align}
      style={{ left: `${left}px`, width: `${column.width}px` }}
      draggable={props.onMove !== undefined}
      onDragStart={(event) => event.dataTransfer?.setData("text/x-column", column.id)}
      onDragOver={(event) => {
        if (event.dataTransfer?.types.includes("text/x-column") === true) event.preventDefault()
      }}
      onDrop={(event) => {
        const moving = event.dataTransfer?.getData("text/x-column") ?? ""
        if (moving !== "" && moving !== column.id) props.onMove?.(moving, column.id)
      }}
    >
      {props.head(column)}
    </div>
  )

  return (
    <div
      class="k-grid"
      ref={scroller}
      style={{ height: "100%" }}
      role="grid"
      aria-label={props.label}
      aria-rowcount={rowCount + 1}
      aria-colcount={pinned.length + columns.length}
      aria-multiselectable={props.onToggle !== undefined}
      aria-activedescendant={active === undefined ? undefined : cellId(active)}
      tabIndex={0}
      onKeyDown={onKeyDown}
    >
      <div
        class="k-grid-head"
        role="row"
        aria-rowindex={1}
        style={{ width: `${width}px`, height: `${headHeight}px` }}
      >
        <div class="k-grid-pinned" role="presentation" style={{ width: `${pinnedWidth}px` }}>
          {pinned.map((column, index) => headCell(index, column, pinnedOffsets[index] ?? 0))}
        </div>
        {across.items.map(({ index, start }) => {
          const column = columns[index]
          return column === undefined
            ? null
            : headCell(pinned.length + index, column, pinnedWidth + start)
        })}
      </div>
      <div
        class="k-grid-body"
        role="rowgroup"
        style={{ width: `${width}px`, height: `${rows.total}px` }}
      >
        {rows.items.map(({ index: row, start: top }) => (
          <div
            key={slot(row, rows.items.length)}
            class="k-grid-row"
            role="row"
            aria-rowindex={row + 2}
            aria-selected={props.isSelected?.(row)}
            style={{
              width: `${width}px`,
              height: `${rowHeight}px`,
              lineHeight: `${rowHeight - 1}px`,
              transform: `translateY(${top}px)`,
            }}
            onDblClick={() => props.onOpen?.(row)}
            onClick={(event) => {
              const box = scroller.current?.getBoundingClientRect()
              if (box === undefined) return
              const x = event.clientX - box.left
              const at = x < pinnedWidth ? x : x + (scroller.current?.scrollLeft ?? 0)
              const all = x < pinnedWidth ? pinnedOffsets : offsetsOf([...pinned, ...columns])
              const column = all.findLastIndex((offset) => offset <= at)
              if (columnAt(column) !== undefined) setActive({ row, column })
            }}
          >
            <div class="k-grid-pinned" role="presentation" style={{ width: `${pinnedWidth}px` }}>
              {pinned.map((column, index) =>
                cell(row, index, column, pinnedOffsets[index] ?? 0, column.id),
              )}
            </div>
            {across.items.map(({ index, start }) => {
              const column = columns[index]
              return column === undefined
                ? null
                : cell(
                    row,
                    pinned.length + index,
                    column,
                    pinnedWidth + start,
                    String(slot(index, across.items.length)),
                  )
            })}
          </div>
        ))}
      </div>
    </div>
  )
}
