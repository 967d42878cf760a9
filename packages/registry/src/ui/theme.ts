const key = "ashlar-theme"
const changed = "ashlar-theme-changed"

type Theme = "light" | "dark"

const preferred = (): Theme => {
  const chosen = localStorage.getItem(key)
  if (chosen === "light" || chosen === "dark") return chosen
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"
}

/** The theme shown. */
export const theme = (): Theme =>
  document.documentElement.dataset["theme"] === "dark" ? "dark" : "light"

/** Shows the chosen theme, or the system's. */
export const applyTheme = (): void => {
  document.documentElement.dataset["theme"] = preferred()
  dispatchEvent(new Event(changed))
}

/** Changes between dark and light, and remembers it. */
export const toggleTheme = (): void => {
  localStorage.setItem(key, theme() === "dark" ? "light" : "dark")
  applyTheme()
}

/** Calls back when the theme changes; returns what stops that. */
export const onTheme = (callback: () => void): (() => void) => {
  const system = matchMedia("(prefers-color-scheme: dark)")
  addEventListener(changed, callback)
  system.addEventListener("change", applyTheme)
  return () => {
    removeEventListener(changed, callback)
    system.removeEventListener("change", applyTheme)
  }
}
