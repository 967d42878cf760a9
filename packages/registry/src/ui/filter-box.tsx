import { Icon } from "@ashlar/core/ui/index.ts"
import { useEffect, useRef, useState } from "preact/hooks"
import { ApiError } from "./client.ts"

/** How long typing rests before it is searched. */
const restMs = 350

/** The filter of a table, with where and why it is not understood. */
export const FilterBox = (props: {
  readonly value: string
  readonly error: Error | undefined
  readonly onChange: (value: string) => void
}) => {
  const [draft, setDraft] = useState(props.value)
  const [focused, setFocused] = useState(false)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useEffect(() => setDraft(props.value), [props.value])
  const send = (value: string) => {
    clearTimeout(timer.current)
    props.onChange(value.trim())
  }
  const { error } = props
  const refusal = error instanceof ApiError && error.status === 400 ? error : undefined
  const position = refusal?.position
  return (
    <div class="filter" role="search">
      <Icon name="search" />
      <input
        class="k-input"
        aria-label="Filter runs"
        aria-invalid={refusal !== undefined}
        aria-describedby={refusal === undefined ? undefined : "filter-error"}
        placeholder="Filter: metrics.auc > 0.9 AND (params.model = 'gbdt' OR tags.owner ~ '^team')"
        spellcheck={false}
        autocomplete="off"
        value={draft}
        onFocus={() => setFocused(true)}
        onBlur={() => setFocused(false)}
        onInput={(event) => {
          const { value } = event.currentTarget
          setDraft(value)
          clearTimeout(timer.current)
          timer.current = setTimeout(() => send(value), restMs)
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter") send(event.currentTarget.value)
        }}
      />
      {refusal === undefined || !(focused || props.value !== "") ? null : (
        <div class="filter-error" id="filter-error" role="alert">
          {position === undefined ? null : (
            <pre>
              {props.value.slice(0, position)}
              <mark>{props.value.slice(position, position + 12) || " "}</mark>
              {props.value.slice(position + 12)}
            </pre>
          )}
          {refusal.message}
        </div>
      )}
    </div>
  )
}
