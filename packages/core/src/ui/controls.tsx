/**
 * Buttons, fields, tabs, badges and menus.
 *
 * @module
 */
import type { ComponentChildren } from "preact"
import { useEffect, useId, useRef, useState } from "preact/hooks"

/** A button. */
export const Button = (props: {
  readonly children: ComponentChildren
  /** A button that submits its form needs none. */
  readonly onClick?: () => void
  readonly kind?: "primary" | "quiet"
  readonly pressed?: boolean
  readonly disabled?: boolean
  readonly label?: string
  readonly type?: "submit"
}) => (
  <button
    type={props.type ?? "button"}
    class="k-button"
    data-kind={props.kind}
    aria-pressed={props.pressed}
    aria-label={props.label}
    title={props.label}
    disabled={props.disabled}
    onClick={props.onClick}
  >
    {props.children}
  </button>
)

/** Shapes of icons, drawn on 16 by 16. */
const icons = {
  close: "M4 4l8 8M12 4l-8 8",
  pin: "M6 2h4l-.5 5 2.5 2.5H4L6.500 7zM8 9.500V14",
  up: "M4 10l4-4 4 4",
  down: "M4 6l4 4 4-4",
  more: "M8 3.500v.01M8 8v.01M8 12.500v.01",
  sun: "M8 5a3 3 0 100 6 3 3 0 000-6zM8 1v1.500M8 13.500V15M1 8h1.500M13.500 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1",
  columns: "M2.500 3h11v10h-11zM6 3v10M10 3v10",
  search: "M7 2.500a4.500 4.500 0 100 9 4.500 4.500 0 000-9zM10.500 10.500L14 14",
  refresh: "M13 8a5 5 0 11-1.500-3.500M13 2v3h-3",
  back: "M10 3L5 8l5 5",
  bookmark: "M4 2.500h8v11l-4-3-4 3z",
} as const

/** Names of icons. */
export type IconName = keyof typeof icons

/** An icon, hidden from screen readers. */
export const Icon = ({ name }: { readonly name: IconName }) => (
  <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
    <path
      d={icons[name]}
      fill="none"
      stroke="currentColor"
      stroke-width="1.500"
      stroke-linecap="round"
      stroke-linejoin="round"
    />
  </svg>
)

/** A button that is an icon. */
export const IconButton = (props: {
  readonly icon: IconName
  readonly label: string
  readonly onClick: () => void
  readonly pressed?: boolean
  readonly disabled?: boolean
}) => (
  <button
    type="button"
    class="k-button k-icon"
    data-kind="quiet"
    aria-label={props.label}
    title={props.label}
    aria-pressed={props.pressed}
    disabled={props.disabled}
    onClick={props.onClick}
  >
    <Icon name={props.icon} />
  </button>
)

/** A choice from a list. */
export const Select = (props: {
  readonly label: string
  readonly value: string
  readonly options: ReadonlyArray<readonly [value: string, text: string]>
  readonly onChange: (value: string) => void
  readonly hideLabel?: boolean
}) => (
  <label class="k-field">
    <span class={props.hideLabel === true ? "k-hidden" : ""}>{props.label}</span>
    <select
      class="k-select"
      value={props.value}
      onChange={(event) => props.onChange(event.currentTarget.value)}
    >
      {props.options.map(([value, text]) => (
        <option key={value} value={value}>
          {text}
        </option>
      ))}
    </select>
  </label>
)

/** A text that is chosen from many: typed, with suggestions. */
export const Picker = (props: {
  readonly label: string
  readonly value: string
  readonly options: ReadonlyArray<string>
  readonly onChange: (value: string) => void
}) => {
  const id = useId()
  const [draft, setDraft] = useState(props.value)
  useEffect(() => setDraft(props.value), [props.value])
  // A browser lays out every suggestion: those that fit what is typed are enough.
  const shown = props.options
    .filter((option) => draft === props.value || option.includes(draft))
    .slice(0, 200)
  return (
    <label class="k-field">
      <span>{props.label}</span>
      <input
        class="k-input"
        list={id}
        value={draft}
        size={22}
        onInput={(event) => {
          const { value } = event.currentTarget
          setDraft(value)
          if (props.options.includes(value)) props.onChange(value)
        }}
        onBlur={() => setDraft(props.value)}
      />
      <datalist id={id}>
        {shown.map((option) => (
          <option key={option} value={option} />
        ))}
      </datalist>
    </label>
  )
}

/** A box to tick. */
export const Checkbox = (props: {
  readonly label: string
  readonly checked: boolean
  readonly onChange: (checked: boolean) => void
}) => (
  <label class="k-field">
    <input
      type="checkbox"
      class="k-check"
      checked={props.checked}
      onChange={(event) => props.onChange(event.currentTarget.checked)}
    />
    <span>{props.label}</span>
  </label>
)

/** One of a few choices. */
export const Segments = <Value extends string>(props: {
  readonly label: string
  readonly value: Value
  readonly options: ReadonlyArray<readonly [value: Value, text: string]>
  readonly onChange: (value: Value) => void
}) => (
  <div class="k-segments" role="group" aria-label={props.label}>
    {props.options.map(([value, text]) => (
      <button
        key={value}
        type="button"
        aria-pressed={value === props.value}
        onClick={() => props.onChange(value)}
      >
        {text}
      </button>
    ))}
  </div>
)

/** Tabs; arrow keys move between them. */
export const Tabs = <Value extends string>(props: {
  readonly label: string
  readonly value: Value
  readonly options: ReadonlyArray<readonly [value: Value, text: string]>
  readonly onChange: (value: Value) => void
}) => {
  const list = useRef<HTMLDivElement>(null)
  const move = (event: KeyboardEvent) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0
    if (step === 0) return
    const { options } = props
    const at = options.findIndex(([value]) => value === props.value)
    const next = (at + step + options.length) % options.length
    const option = options[next]
    if (option === undefined) return
    event.preventDefault()
    props.onChange(option[0])
    list.current?.querySelectorAll("button")[next]?.focus()
  }
  return (
    <div class="k-tabs" role="tablist" aria-label={props.label} ref={list} onKeyDown={move}>
      {props.options.map(([value, text]) => (
        <button
          key={value}
          type="button"
          class="k-tab"
          role="tab"
          aria-selected={value === props.value}
          tabIndex={value === props.value ? 0 : -1}
          onClick={() => props.onChange(value)}
        >
          {text}
        </button>
      ))}
    </div>
  )
}

/** What a badge says by its colour. */
export type Tone = "good" | "bad" | "warn" | "accent" | "plain"

/** A short word on a ground. */
export const Badge = (props: { readonly tone?: Tone; readonly children: ComponentChildren }) => (
  <span class="k-badge" data-tone={props.tone ?? "plain"}>
    {props.children}
  </span>
)

/** What is shown where there is nothing to show. */
export const Empty = (props: { readonly title: string; readonly children?: ComponentChildren }) => (
  <div class="k-empty">
    <strong>{props.title}</strong>
    <div>{props.children}</div>
  </div>
)

/** Something went wrong. */
export const Alert = ({ children }: { readonly children: ComponentChildren }) => (
  <div class="k-alert" role="alert">
    {children}
  </div>
)

/** Something is on its way. */
export const Spinner = ({ label = "Loading" }: { readonly label?: string }) => (
  <span class="k-row k-quiet" role="status">
    <span class="k-spin" aria-hidden="true" />
    {label}
  </span>
)

/** A button that opens a list of actions; arrow keys move, Escape closes. */
export const Menu = (props: {
  readonly label: string
  readonly children: ComponentChildren
  readonly items: ReadonlyArray<readonly [text: string, action: () => void]>
  readonly quiet?: boolean
}) => {
  const [at, setAt] = useState<{ readonly left: number; readonly top: number }>()
  const host = useRef<HTMLSpanElement>(null)
  const menu = useRef<HTMLDivElement>(null)
  const close = () => setAt(undefined)
  useEffect(() => {
    if (at === undefined) return undefined
    menu.current?.querySelector("button")?.focus()
    const away = (event: Event) => {
      const inside = event.target instanceof Node && host.current?.contains(event.target) === true
      if (!inside) close()
    }
    document.addEventListener("pointerdown", away)
    return () => document.removeEventListener("pointerdown", away)
  }, [at])
  const onKeyDown = (event: KeyboardEvent) => {
    if (at === undefined) return
    event.stopPropagation()
    if (event.key === "Escape") {
      close()
      host.current?.querySelector("button")?.focus()
      return
    }
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0
    if (step === 0) return
    event.preventDefault()
    const buttons = [...(menu.current?.querySelectorAll("button") ?? [])]
    const focused = buttons.findIndex((button) => button === document.activeElement)
    buttons[(focused + step + buttons.length) % buttons.length]?.focus()
  }
  return (
    <span class="k-menu" ref={host} onKeyDown={onKeyDown}>
      <button
        type="button"
        class={`k-button${props.quiet === true ? " k-icon" : ""}`}
        data-kind={props.quiet === true ? "quiet" : undefined}
        aria-haspopup="menu"
        aria-expanded={at !== undefined}
        aria-label={props.label}
        title={props.label}
        onClick={(event) => {
          event.stopPropagation()
          if (at !== undefined) return close()
          const box = event.currentTarget.getBoundingClientRect()
          setAt({ left: Math.min(box.left, innerWidth - 220), top: box.bottom + 4 })
        }}
      >
        {props.children}
      </button>
      {at === undefined ? null : (
        <div role="menu" ref={menu} style={{ left: `${at.left}px`, top: `${at.top}px` }}>
          {props.items.map(([text, action]) => (
            <button
              key={text}
              type="button"
              role="menuitem"
              onClick={(event) => {
                event.stopPropagation()
                close()
                action()
              }}
            >
              {text}
            </button>
          ))}
        </div>
      )}
    </span>
  )
}
