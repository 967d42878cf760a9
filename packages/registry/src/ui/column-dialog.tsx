import { Button, Checkbox, Dialog, useWindow } from "@ashlar/core/ui/index.ts"
import { useRef, useState } from "preact/hooks"
import type { KeysAnswer } from "./client.ts"
import { allColumns, type Arrangement, labelOf } from "./columns.ts"
import { type Changes, listText } from "./location.ts"

/** Chooses which columns a table shows, and which stay on the left. */
export const ColumnDialog = (props: {
  readonly keys: KeysAnswer
  readonly arrangement: Arrangement
  readonly onChange: (changes: Changes) => void
  readonly onClose: () => void
}) => {
  const { arrangement, onChange } = props
  const [search, setSearch] = useState("")
  const list = useRef<HTMLDivElement>(null)
  const columns = allColumns(props.keys, arrangement.tags)
  const shown = columns.filter(({ id }) => id.toLowerCase().includes(search.toLowerCase()))
  const rows = useWindow({ ref: list, count: shown.length, size: () => 32, sizes: search })
  const hide = (ids: ReadonlyArray<string>, isHidden: boolean) => {
    const hidden = new Set(arrangement.hidden)
    for (const id of ids) {
      if (isHidden) hidden.add(id)
      else hidden.delete(id)
    }
    onChange({ hide: listText([...hidden]) })
  }
  const ids = shown.map(({ id }) => id)
  return (
    <Dialog title="Columns" onClose={props.onClose}>
      <div class="k-row k-wrap">
        <input
          class="k-input k-grow"
          type="search"
          aria-label="Search columns"
          placeholder={`Search ${columns.length} columns`}
          value={search}
          onInput={(event) => setSearch(event.currentTarget.value)}
        />
        <Button onClick={() => hide(ids, false)}>Show these</Button>
        <Button onClick={() => hide(ids, true)}>Hide these</Button>
      </div>
      <div class="choices" ref={list} style={{ height: "340px" }}>
        <div style={{ position: "relative", height: `${rows.total}px` }}>
          {rows.items.map(({ index, start }) => {
            const column = shown[index]
            if (column === undefined) return null
            const isPinned = arrangement.pinned.includes(column.id)
            return (
              <div class="choice" key={column.id} style={{ top: `${start}px` }}>
                <label class="k-row k-grow">
                  <input
                    type="checkbox"
                    class="k-check"
                    checked={isPinned || !arrangement.hidden.has(column.id)}
                    disabled={isPinned}
                    onChange={(event) => hide([column.id], !event.currentTarget.checked)}
                  />
                  <span class="k-clip k-grow">{labelOf(column)}</span>
                </label>
                <span class="k-quiet">{column.kind}</span>
                <Button
                  kind="quiet"
                  pressed={isPinned}
                  onClick={() =>
                    onChange({
                      pin: listText(
                        isPinned
                          ? arrangement.pinned.filter((id) => id !== column.id)
                          : [...arrangement.pinned, column.id],
                      ),
                    })
                  }
                >
                  {isPinned ? "Pinned" : "Pin"}
                </Button>
              </div>
            )
          })}
        </div>
      </div>
      <div class="k-row k-wrap" style={{ marginTop: "12px" }}>
        <Checkbox
          label="Tags as columns"
          checked={arrangement.tags}
          onChange={(on) => onChange({ tags: on ? "1" : undefined })}
        />
        <span class="k-grow" />
        <Button
          onClick={() =>
            onChange({ pin: undefined, hide: undefined, first: undefined, tags: undefined })
          }
        >
          Usual columns
        </Button>
      </div>
    </Dialog>
  )
}
