import { Auth, ModelPackage } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Tokens from "@ashlar/core/tokens"
import { Experiments, Models, Promotions, Runs } from "@ashlar/registry"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Browser, Page } from "playwright-core"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { chromiumPath, launch, missing, troublesOf } from "./browser.ts"

it("has a browser where everything is to be tested", () => {
  // Elsewhere the tests below say in their names why they are skipped.
  expect(process.env["CI"] === undefined || chromiumPath !== undefined).toBe(true)
})

const hostile = "<img src=x onerror=\"document.title='hacked'\">"

describe.skipIf(chromiumPath === undefined)(`the pages in Chromium${missing}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-ui-pages-"))
  const runtime = ManagedRuntime.make(
    Layer.merge(Mlflow.services, Tokens.layer()).pipe(
      Layer.provide([
        Sqlite.layer({ file: join(folder, "registry.sqlite") }),
        Fs.layer({ directory: join(folder, "blobs") }),
      ]),
    ),
  )
  let browser: Browser
  let server: HttpKit.Server
  let guarded: HttpKit.Server
  let token: string
  let experiment: string
  let page: Page
  let troubles: Array<string>
  const ids: Array<string> = []

  beforeAll(async () => {
    const runs = await runtime.runPromise(Runs.Runs)
    for (let i = 0; i < 60; i++) {
      const { runId } = await runtime.runPromise(
        runs.start({
          experiment: "pages",
          name: i === 7 ? hostile : `run-${String(i).padStart(2, "0")}`,
          params: {
            rate: (i + 1) / 100,
            kind: i % 2 === 0 ? "gbdt" : "mlp",
            same: "yes",
            note: hostile,
          },
          tags: { owner: hostile },
        }),
      )
      ids.push(runId)
      const metrics = Array.from({ length: 40 }, (_, k) => ({
        key: `metric-${String(k).padStart(2, "0")}`,
        value: i + k / 100,
        step: 1,
        time: 1_000_000,
      }))
      const curve = Array.from({ length: 50 }, (_, step) => ({
        key: "auc",
        value: 1 - Math.exp(-step / (5 + i)),
        step,
        time: 1_000_000 + step * 1_000_000,
      }))
      await runtime.runPromise(runs.log(runId, { metrics: [...metrics, ...curve] }))
    }
    const [first = ""] = ids
    const store = async (path: string, content: string) => {
      const file = join(folder, "file")
      writeFileSync(file, content)
      await runtime.runPromise(runs.logArtifact(first, { path, file }))
    }
    await store("page.html", `<script>document.title = "hacked"</script>${hostile}`)
    await store("table.csv", `name,value\n"${hostile.replaceAll('"', '""')}",2\n`)
    const experiments = await runtime.runPromise(Experiments.Experiments)
    experiment = (await runtime.runPromise(experiments.getByName("pages"))).id
    const { directory } = await Effect.runPromise(
      ModelPackage.write(join(folder, "package"), {
        flavor: "custom",
        entry: "weights.bin",
        files: { "weights.bin": Buffer.from("weights") },
        signature: {
          inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
          outputs: [{ name: "y", datatype: "FP32", shape: [-1] }],
        },
      }),
    )
    const models = await runtime.runPromise(Models.Models)
    await runtime.runPromise(
      models.register({ name: "shown", directory, runId: first, description: hostile }),
    )
    await runtime.runPromise(models.setAlias("shown", "baseline", 1))
    await runtime.runPromise(
      models.setPolicy("shown", "champion", {
        version: 2,
        gates: [{ type: "approvals", count: 1 }],
      }),
    )
    const auth = await runtime.runPromise(Auth.Auth)
    const made = await runtime.runPromise(
      auth.createToken({ principal: "ada", scopes: [{ project: "*", verb: "write" }] }),
    )
    token = Redacted.value(made.token)
    const drain = { onSignals: false }
    const register: HttpKit.ServerOptions["register"] = (app) =>
      app.register(Mlflow.plugin, { runtime })
    server = await HttpKit.makeServer({ auth: "off-on-loopback", register, drain })
    guarded = await HttpKit.makeServer({ auth, register, drain })
    browser = await launch()
  })
  afterEach(async () => {
    await page.close()
  })
  afterAll(async () => {
    await browser.close()
    await server.drain()
    await guarded.drain()
    await runtime.dispose()
    rmSync(folder, { recursive: true, force: true })
  })

  const visit = async (hash: string, options: { readonly at?: string } = {}) => {
    page = await browser.newPage({
      viewport: { width: 1280, height: 800 },
      reducedMotion: "reduce",
    })
    troubles = troublesOf(page)
    await page.goto(`${options.at ?? server.url}/ui/${hash}`)
    return page
  }
  const inert = async () => {
    expect(await page.title()).toBe("Ashlar registry")
    expect(await page.locator("img").count()).toBe(0)
    expect(troubles).toEqual([])
  }
  const names = (shown: Page) => shown.locator(".k-grid-row .run-cell a").allTextContents()
  const params = (shown: Page) => new URLSearchParams(new URL(shown.url()).hash.split("?")[1])

  it("shows runs as a table of which only a part is in the page, and names as text", async () => {
    const shown = await visit("")
    await shown.getByRole("link", { name: "run-59" }).waitFor()
    const grid = shown.getByRole("grid", { name: "Runs" })
    expect(await grid.getAttribute("aria-rowcount")).toBe("61")
    expect(await grid.getAttribute("aria-colcount")).toBe(String(5 + 4 + 41))
    expect(await shown.locator(".k-grid-row").count()).toBeLessThan(50)
    expect(await shown.locator(".k-grid-head .k-grid-cell").count()).toBeLessThan(30)
    await grid.evaluate((element) => element.scrollTo({ top: 60 * 30 }))
    await shown.getByRole("link", { name: hostile }).waitFor()
    await grid.evaluate((element) => element.scrollTo({ left: 100_000 }))
    await shown.getByRole("columnheader", { name: /metric-39/ }).waitFor()
    await shown.locator(".k-grid-row .k-grid-cell", { hasText: /^0\.39$/ }).waitFor()
    await inert()
  })

  it("sorts, pins, hides and finds by a filter, and keeps all of it in the address", async () => {
    const shown = await visit("")
    await shown.getByRole("link", { name: "run-59" }).waitFor()
    await shown.getByRole("button", { name: "rate", exact: true }).click()
    await expect.poll(async () => (await names(shown))[0]).toBe("run-59")
    await shown.getByRole("button", { name: /^rate/ }).first().click()
    await expect.poll(async () => (await names(shown))[0]).toBe("run-00")
    expect(params(shown).get("sort")).toBe("param:rate")
    await shown.getByRole("button", { name: "Column kind" }).click()
    await shown.getByRole("menuitem", { name: "Pin to the left" }).click()
    await shown.locator(".k-grid-head .k-grid-pinned", { hasText: "kind" }).waitFor()
    await shown.getByRole("button", { name: "Column Duration" }).click()
    await shown.getByRole("menuitem", { name: "Hide" }).click()
    await expect.poll(() => shown.getByRole("columnheader", { name: /Duration/ }).count()).toBe(0)
    await shown
      .getByRole("textbox", { name: "Filter runs" })
      .fill("params.kind = 'mlp' AND metrics.auc > 0.6")
    await expect
      .poll(
        async () =>
          new Set(
            (await names(shown))
              .filter((name) => name !== hostile)
              .map((name) => Number(name.slice(-2)) % 2),
          ),
      )
      .toEqual(new Set([1]))
    const address = shown.url()
    await shown.close()
    const again = await visit(new URL(address).hash)
    await again.locator(".k-grid-head .k-grid-pinned", { hasText: "kind" }).waitFor()
    await again.getByRole("link", { name: "run-01" }).waitFor()
    expect(await again.getByRole("columnheader", { name: /Duration/ }).count()).toBe(0)
    await inert()
  })

  it("shows where a filter is wrong", async () => {
    const shown = await visit("#/runs?q=metrics.auc+%3E+%27high%27")
    const alert = shown.getByRole("alert")
    await alert.waitFor()
    expect(await alert.locator("mark").textContent()).toBe("'high'")
    expect(await alert.textContent()).toContain("character 14")
    expect(
      await shown.getByRole("textbox", { name: "Filter runs" }).getAttribute("aria-invalid"),
    ).toBe("true")
  })

  it("is used by keys alone: cells, selection, tabs, a run", async () => {
    const shown = await visit("")
    await shown.getByRole("link", { name: "run-59" }).waitFor()
    await shown.getByRole("grid", { name: "Runs" }).focus()
    for (const key of ["ArrowDown", "ArrowDown", " ", "ArrowDown", " "]) {
      await shown.keyboard.press(key)
    }
    await expect.poll(() => (params(shown).get("sel") ?? "").split(",").length).toBe(2)
    expect(await shown.getByText("2 selected").count()).toBe(1)
    await shown.getByRole("tab", { name: "Table" }).focus()
    await shown.keyboard.press("ArrowRight")
    await expect.poll(() => params(shown).get("tab")).toBe("charts")
    await shown.goBack()
    await shown.getByRole("grid", { name: "Runs" }).focus()
    await shown.keyboard.press("ArrowDown")
    await shown.keyboard.press("Enter")
    await shown.getByRole("heading", { level: 1, name: "run-59" }).waitFor()
    await inert()
  })

  it("draws curves, zooms into them by asking the server again, and groups them", async () => {
    const shown = await visit("#/runs?tab=charts&m=auc")
    await shown.locator(".u-over").first().waitFor()
    const asked: Array<unknown> = []
    shown.on("request", (request) => {
      if (request.url().endsWith("/metrics/histories")) asked.push(request.postDataJSON())
    })
    const box = await shown.locator(".u-over").first().boundingBox()
    if (box === null) throw new Error("the chart has no size")
    await shown.mouse.move(box.x + box.width * 0.4, box.y + 40)
    await shown.mouse.down()
    await shown.mouse.move(box.x + box.width * 0.6, box.y + 60, { steps: 4 })
    await shown.mouse.up()
    await shown.getByRole("button", { name: "Show all" }).waitFor()
    expect(asked).toEqual([
      expect.objectContaining({
        keys: ["auc"],
        start: expect.closeTo(49 * 0.4, 0),
        end: expect.closeTo(49 * 0.6, 0),
      }),
    ])
    expect(JSON.parse(params(shown).get("zoom") ?? "{}")).toEqual({
      auc: [expect.closeTo(49 * 0.4, 0), expect.closeTo(49 * 0.6, 0)],
    })
    await shown.getByRole("button", { name: "Show all" }).click()
    await shown.getByLabel("Group by").selectOption("param:kind")
    await shown.getByRole("img", { name: "auc: 6 lines" }).waitFor()
    await shown.getByText("kind = gbdt").first().waitFor()
    await shown.getByRole("button", { name: "Relative" }).click()
    await shown.getByLabel("Log y").check()
    expect(Object.fromEntries(params(shown))).toMatchObject({
      x: "relative",
      ly: "1",
      group: "param:kind",
    })
    await inert()
  })

  it("compares all runs, and shows only what differs", async () => {
    const shown = await visit("#/runs?tab=compare")
    const grid = shown.getByRole("grid", { name: "Comparison" })
    await grid.getByText("same").waitFor()
    expect(await grid.getAttribute("aria-colcount")).toBe("61")
    await shown.getByLabel("Only what differs").check()
    await expect.poll(() => grid.getByText("same", { exact: false }).count()).toBe(0)
    await grid.getByText("rate").waitFor()
    await expect.poll(() => grid.getAttribute("aria-rowcount")).toBe(String(1 + 2 + 41))
    await inert()
  })

  it("brushes parallel coordinates, draws dots, and finds what a metric depends on", async () => {
    const shown = await visit(
      "#/runs?tab=parallel&axes=param%253Arate%2Cparam%253Akind%2Cmetric%253Aauc",
    )
    await shown.getByText("60 of 60 runs").waitFor()
    const canvas = shown.locator(".k-chart canvas")
    const box = await canvas.boundingBox()
    if (box === null) throw new Error("there is no canvas")
    await shown.mouse.move(box.x + 70, box.y + 60)
    await shown.mouse.down()
    await shown.mouse.move(box.x + 70, box.y + 200, { steps: 4 })
    await shown.mouse.up()
    await expect.poll(() => params(shown).has("brush")).toBe(true)
    await shown.getByText(/^(?!60 of 60)\d+ of 60 runs/).waitFor()
    await shown.getByRole("tab", { name: "Scatter" }).click()
    await shown.getByText("60 of 60 runs have both numbers").waitFor()
    await shown.getByRole("tab", { name: "Importance" }).click()
    const bars = shown.getByRole("table", { name: "Importance of parameters" })
    await bars.waitFor()
    expect(await bars.textContent()).toMatch(/rate.*9\d\.\d %|rate.*100\.0 %/)
    await inert()
  })

  it("shows a run's files as text, whatever is in them", async () => {
    const [first = ""] = ids
    const shown = await visit(`#/run/${first}?show=files`)
    await shown.getByRole("button", { name: /page\.html/ }).click()
    await shown.locator("pre", { hasText: "document.title" }).waitFor()
    await shown.getByRole("button", { name: /table\.csv/ }).click()
    await shown.getByRole("cell", { name: hostile }).waitFor()
    await inert()
  })

  it("shows a model's gates; a request is made and approved, and the alias moves", async () => {
    const shown = await visit("#/models")
    await shown.getByRole("link", { name: "shown" }).click()
    await shown.getByText("protected").waitFor()
    await shown.getByText(hostile).first().waitFor()
    await shown.getByRole("button", { name: "Ask", exact: true }).click()
    await shown.getByText("0 of 1 approvals", { exact: true }).waitFor()
    // Who asked may not approve: the refusal is shown.
    await shown.getByRole("button", { name: "Approve" }).click()
    await shown.getByRole("alert").waitFor()
    const promotions = await runtime.runPromise(Promotions.Promotions)
    const { items } = await runtime.runPromise(promotions.list({ name: "shown", status: "open" }))
    const by = { name: "grace", scopes: [{ project: "*", verb: "admin" as const }] }
    await runtime.runPromise(promotions.approve(items[0]?.id ?? "", { by, comment: hostile }))
    await shown.reload()
    await shown.getByText("promoted", { exact: true }).waitFor()
    await shown.getByRole("row", { name: /^champion v1/ }).waitFor()
    const [first = ""] = ids
    await shown.goto(`${server.url}/ui/#/lineage?model=shown&version=1`)
    await shown.locator(".graph g[data-focus=true]").waitFor()
    await shown.locator(`.graph a[href*="${first}"]`).waitFor()
    expect(await shown.title()).toBe("Ashlar registry")
  })

  it("saves a view and brings it back", async () => {
    const shown = await visit(`#/runs?e=${experiment}&sort=-metric%3Aauc`)
    await shown.getByRole("link", { name: "run-00" }).waitFor()
    await shown.getByRole("button", { name: "Views" }).click()
    await shown.getByLabel("Name of the view").fill(hostile)
    await shown.getByRole("button", { name: "Save" }).click()
    await shown.getByRole("button", { name: hostile, exact: true }).waitFor()
    await shown.getByRole("button", { name: "Close" }).click()
    await shown.getByRole("button", { name: /^auc/ }).first().click()
    await expect.poll(() => params(shown).get("sort")).toBe("metric:auc")
    await shown.getByRole("button", { name: "Views" }).click()
    await shown.getByRole("button", { name: hostile, exact: true }).click()
    await expect.poll(() => params(shown).get("sort")).toBe("-metric:auc")
    await inert()
  })

  it("follows a run that goes on", async () => {
    const shown = await visit(`#/runs?e=${experiment}&pin=attribute%253Aname%2Cmetric%253Aauc`)
    await shown.getByRole("link", { name: "run-59" }).waitFor()
    await shown.locator(".live[data-open=true]").waitFor()
    const runs = await runtime.runPromise(Runs.Runs)
    await runtime.runPromise(
      runs.log(ids.at(-1) ?? "", {
        metrics: [{ key: "auc", value: 123.456, step: 1000, time: 99_000_000 }],
      }),
    )
    await shown.getByText("123.456").waitFor()
    await runtime.runPromise(runs.start({ experiment: "pages", name: "a-new-run" }))
    await shown.getByRole("link", { name: "a-new-run" }).waitFor()
    await inert()
  })

  it("asks for a token, keeps it for the tab, and forgets it", async () => {
    const shown = await visit("", { at: guarded.url })
    const field = shown.getByLabel("Token")
    await field.fill("ash_wrong")
    await shown.getByRole("button", { name: "Sign in" }).click()
    await shown.getByRole("alert").waitFor()
    await field.fill(token)
    await shown.getByRole("button", { name: "Sign in" }).click()
    await shown.getByRole("link", { name: "run-59" }).waitFor()
    expect(await shown.context().cookies()).toEqual([])
    expect(await shown.evaluate("sessionStorage.getItem('ashlar-token')")).toBe(token)
    expect(await shown.evaluate("JSON.stringify(localStorage)")).not.toContain(token)
    await shown.reload()
    await shown.getByRole("link", { name: "run-59" }).waitFor()
    await shown.getByRole("button", { name: "Sign out" }).click()
    await shown.getByLabel("Token").waitFor()
    expect(await shown.evaluate("sessionStorage.getItem('ashlar-token')")).toBeNull()
  })

  it("fits a phone, light and dark", async () => {
    const shown = await visit("#/runs?tab=charts")
    for (const colorScheme of ["light", "dark"] as const) {
      await shown.emulateMedia({ colorScheme })
      await shown.setViewportSize({ width: 390, height: 780 })
      await shown.reload()
      await shown.locator(".u-over").first().waitFor()
      const overflow = "document.documentElement.scrollWidth - innerWidth"
      expect(await shown.evaluate(overflow)).toBeLessThanOrEqual(0)
      expect(await shown.evaluate("document.documentElement.dataset.theme")).toBe(colorScheme)
    }
    await inert()
  })
})
