import { Alert, type Loaded, Spinner } from "@ashlar/core/ui/index.ts"
import { useState } from "preact/hooks"
import type { ExperimentAnswer } from "./client.ts"

/** The experiments; one is shown alone by its name, several by their boxes. */
export const ExperimentList = (props: {
  readonly experiments: Loaded<ReadonlyArray<ExperimentAnswer>>
  readonly selected: ReadonlyArray<string>
  readonly onChange: (selected: ReadonlyArray<string>) => void
}) => {
  const [search, setSearch] = useState("")
  const { value, error, loading } = props.experiments
  const wanted = search.toLowerCase()
  const shown = (value ?? []).filter(({ name }) => name.toLowerCase().includes(wanted))
  const { selected } = props
  return (
    <aside class="side" aria-label="Experiments">
      <div class="side-head">
        <h3>Experiments</h3>
        <input
          class="k-input"
          type="search"
          aria-label="Search experiments"
          placeholder="Search"
          value={search}
          onInput={(event) => setSearch(event.currentTarget.value)}
        />
      </div>
      {error === undefined ? null : <Alert>{error.message}</Alert>}
      {loading && value === undefined ? <Spinner /> : null}
      <ul class="side-list">
        {shown.slice(0, 500).map(({ id, name }) => (
          <li key={id}>
            <label data-on={selected.includes(id)}>
              <input
                type="checkbox"
                class="k-check"
                aria-label={`Show ${name} as well`}
                checked={selected.includes(id)}
                onChange={(event) =>
                  props.onChange(
                    event.currentTarget.checked
                      ? [...selected, id]
                      : selected.filter((other) => other !== id),
                  )
                }
              />
              <button
                type="button"
                class="k-clip"
                title={name}
                onClick={() => props.onChange([id])}
              >
                {name}
              </button>
            </label>
          </li>
        ))}
      </ul>
    </aside>
  )
}
