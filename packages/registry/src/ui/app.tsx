import { IconButton } from "@ashlar/core/ui/index.ts"
import { useEffect, useState } from "preact/hooks"
import { session, tokenWanted } from "./client.ts"
import { href, usePlace } from "./location.ts"
import { Login } from "./login.tsx"
import { ModelPage } from "./model-page.tsx"
import { ModelsPage } from "./models-page.tsx"
import { LineagePage } from "./lineage.tsx"
import { RunPage } from "./run-page.tsx"
import { RunsPage } from "./runs-page.tsx"
import { onTheme, theme, toggleTheme } from "./theme.ts"

const Page = ({ theme: shown }: { readonly theme: string }) => {
  const { path, params } = usePlace()
  const [, section = "runs", ...rest] = path.split("/")
  const name = rest.map(decodeURIComponent).join("/")
  if (section === "run" && name !== "") return <RunPage runId={name} theme={shown} key={name} />
  if (section === "models") {
    return name === "" ? <ModelsPage /> : <ModelPage name={name} key={name} />
  }
  if (section === "lineage") return <LineagePage params={params} />
  return <RunsPage params={params} theme={shown} />
}

/** The pages with what is around them. */
export const App = () => {
  const { path } = usePlace()
  const [wanted, setWanted] = useState(false)
  const [shown, setShown] = useState(theme())
  useEffect(() => onTheme(() => setShown(theme())), [])
  useEffect(() => {
    const ask = () => setWanted(true)
    addEventListener(tokenWanted, ask)
    return () => removeEventListener(tokenWanted, ask)
  }, [])
  if (wanted) return <Login onDone={() => setWanted(false)} />
  const current = (section: string): "page" | undefined =>
    path.startsWith(`/${section}`) ? "page" : undefined
  return (
    <div class="shell">
      <header class="top">
        <a class="brand" href={href("/runs")}>
          <svg width="20" height="20" viewBox="0 0 20 20" aria-hidden="true">
            <path
              d="M2 5h7v5H2zM11 5h7v5h-7zM2 12h3v4H2zM7 12h7v4H7zM16 12h2v4h-2z"
              fill="currentColor"
            />
          </svg>
          Ashlar
        </a>
        <nav class="nav k-grow" aria-label="Sections">
          <a href={href("/runs")} aria-current={current("run")}>
            Runs
          </a>
          <a href={href("/models")} aria-current={current("model")}>
            Models
          </a>
        </nav>
        <IconButton
          icon="sun"
          label={shown === "dark" ? "Light theme" : "Dark theme"}
          onClick={toggleTheme}
        />
        {session.token === null ? null : (
          <button
            type="button"
            class="k-button"
            data-kind="quiet"
            onClick={() => {
              session.token = null
              setWanted(true)
            }}
          >
            Sign out
          </button>
        )}
      </header>
      <main class="main">
        <Page theme={shown} />
      </main>
    </div>
  )
}
