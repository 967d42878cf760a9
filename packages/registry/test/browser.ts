import { existsSync } from "node:fs"
import { type Browser, chromium, type Page } from "playwright-core"

const places = [
  process.env["ASHLAR_CHROMIUM"],
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
]

/** Where Chromium is; `undefined` where there is none. */
export const chromiumPath: string | undefined = places.find(
  (place) => place !== undefined && existsSync(place),
)

/** Said in the names of what is skipped without it. */
export const missing =
  chromiumPath === undefined
    ? " (skipped: there is no Chromium; install the package chromium, or set ASHLAR_CHROMIUM)"
    : ""

/** Starts Chromium. */
export const launch = (): Promise<Browser> =>
  chromium.launch({
    ...(chromiumPath === undefined ? {} : { executablePath: chromiumPath }),
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
  })

/** Everything that went wrong in a page: exceptions, refusals by its policy, failed requests. */
export const troublesOf = (page: Page): Array<string> => {
  const troubles: Array<string> = []
  page.on("pageerror", (error) => troubles.push(`exception: ${error.message}`))
  page.on("console", (message) => {
    if (message.type() === "error") troubles.push(`console: ${message.text()}`)
  })
  return troubles
}
