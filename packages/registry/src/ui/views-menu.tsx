import { Alert, Button, Dialog, IconButton, useLoad } from "@ashlar/core/ui/index.ts"
import { useState } from "preact/hooks"
import { api } from "./client.ts"
import { go } from "./location.ts"

/** Saved views of the runs: how the table, its filter and its charts were set up. */
export const ViewsMenu = (props: { readonly scope: string; readonly params: URLSearchParams }) => {
  const [open, setOpen] = useState(false)
  const [name, setName] = useState("")
  const [revision, setRevision] = useState(0)
  const [error, setError] = useState<string>()
  const views = useLoad(open ? `${props.scope} ${revision}` : undefined, (signal) =>
    api.views("runs", props.scope, signal),
  )
  const attempt = (work: Promise<unknown>) => {
    work.then(
      () => {
        setError(undefined)
        setRevision((n) => n + 1)
      },
      (failure: unknown) => setError(failure instanceof Error ? failure.message : String(failure)),
    )
  }
  const stateOf = () => {
    const state = new URLSearchParams(props.params)
    state.delete("sel")
    return state.toString()
  }
  if (!open) return <Button onClick={() => setOpen(true)}>Views</Button>
  const items = views.value?.items ?? []
  return (
    <>
      <Button onClick={() => setOpen(true)}>Views</Button>
      <Dialog title="Saved views" onClose={() => setOpen(false)}>
        <form
          class="k-row"
          onSubmit={(event) => {
            event.preventDefault()
            attempt(
              api.saveView({
                page: "runs",
                scope: props.scope,
                name: name.trim(),
                state: stateOf(),
              }),
            )
          }}
        >
          <input
            class="k-input k-grow"
            aria-label="Name of the view"
            placeholder="Save what is shown as"
            required
            maxLength={120}
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
          <Button kind="primary" type="submit">
            Save
          </Button>
        </form>
        {error === undefined ? null : <Alert>{error}</Alert>}
        {views.error === undefined ? null : <Alert>{views.error.message}</Alert>}
        {items.length === 0 ? (
          <p class="k-quiet" style={{ padding: "14px 0 4px" }}>
            No views are saved here yet.
          </p>
        ) : (
          <table class="k-table">
            <tbody>
              {items.map((view) => (
                <tr key={view.id}>
                  <td>
                    <button
                      type="button"
                      class="k-button"
                      data-kind="quiet"
                      onClick={() => {
                        setOpen(false)
                        go("/runs", Object.fromEntries(new URLSearchParams(view.state)))
                      }}
                    >
                      {view.name}
                    </button>
                  </td>
                  <td class="k-quiet">{view.owner}</td>
                  <td class="k-number">
                    <IconButton
                      icon="close"
                      label={`Remove ${view.name}`}
                      onClick={() => attempt(api.removeView(view.id))}
                    />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Dialog>
    </>
  )
}
