import { render } from "preact"
import { App } from "./app.tsx"
import { applyTheme } from "./theme.ts"

applyTheme()
const host = document.querySelector("#app")
if (host !== null) render(<App />, host)
