import { Alert, Badge, Empty, formatTime, Spinner, useLoad } from "@ashlar/core/ui/index.ts"
import { useState } from "preact/hooks"
import { api } from "./client.ts"
import { href } from "./location.ts"

/** The registered models. */
export const ModelsPage = () => {
  const [search, setSearch] = useState("")
  const { value, error } = useLoad("models", (signal) => api.models(signal))
  if (error !== undefined) {
    return (
      <div class="page">
        <Alert>{error.message}</Alert>
      </div>
    )
  }
  const shown = (value ?? []).filter(({ name }) =>
    name.toLowerCase().includes(search.toLowerCase()),
  )
  return (
    <div class="page">
      <div class="page-head">
        <h1>Models</h1>
        <span class="k-grow" />
        <input
          class="k-input"
          type="search"
          aria-label="Search models"
          placeholder="Search"
          value={search}
          onInput={(event) => setSearch(event.currentTarget.value)}
        />
      </div>
      {value === undefined ? <Spinner /> : null}
      {value !== undefined && shown.length === 0 ? (
        <Empty title="No models">Register a model, and it shows up here.</Empty>
      ) : (
        <div class="k-card" style={{ overflow: "auto" }}>
          <table class="k-table">
            <thead>
              <tr>
                <th>Name</th>
                <th>Aliases</th>
                <th>Description</th>
                <th>Updated</th>
              </tr>
            </thead>
            <tbody>
              {shown.slice(0, 1000).map(({ name, aliases, description, updated }) => (
                <tr key={name}>
                  <td>
                    <a href={href(`/models/${encodeURIComponent(name)}`)}>{name}</a>
                  </td>
                  <td>
                    <span class="k-row k-wrap">
                      {Object.entries(aliases).map(([alias, version]) => (
                        <Badge key={alias} tone="accent">
                          {alias} v{version}
                        </Badge>
                      ))}
                    </span>
                  </td>
                  <td class="k-quiet">{description}</td>
                  <td class="k-quiet">{formatTime(updated)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  )
}
