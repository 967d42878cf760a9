/**
 * A dialog over the page.
 *
 * @module
 */
import type { ComponentChildren } from "preact"
import { useEffect, useRef } from "preact/hooks"
import { IconButton } from "./controls.tsx"

/** A modal dialog: Escape and the cross close it, and focus goes back to where it was. */
export const Dialog = (props: {
  readonly title: string
  readonly onClose: () => void
  readonly children: ComponentChildren
}) => {
  const ref = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    const dialog = ref.current
    dialog?.showModal()
    return () => dialog?.close()
  }, [])
  return (
    <dialog class="k-dialog" ref={ref} aria-label={props.title} onClose={props.onClose}>
      <header>
        <h2>{props.title}</h2>
        <IconButton icon="close" label="Close" onClick={props.onClose} />
      </header>
      <div class="k-body">{props.children}</div>
    </dialog>
  )
}
