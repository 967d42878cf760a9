import * as vega from "vega"
import * as vegaLite from "vega-lite"

type Row = Readonly<Record<string, string | number | boolean | null>>

/** One chart as inline SVG. */
const render = async (spec: Omit<vegaLite.TopLevelSpec, "data">, values: ReadonlyArray<Row>) => {
  const full = {
    ...spec,
    data: { values: [...values] },
    background: "transparent",
    config: { font: "system-ui, sans-serif", view: { stroke: null } },
  }
  const compiled = vegaLite.compile(full as unknown as vegaLite.TopLevelSpec)
  const view = new vega.View(vega.parse(compiled.spec), { renderer: "none" })
  const svg = await view.toSVG()
  view.finalize()
  return svg
}

/** Lines of a measure over time, one per series. */
export const lines = (
  values: ReadonlyArray<Row>,
  names: {
    readonly x: string
    readonly y: string
    readonly series: string
    readonly title: string
  },
): Promise<string> =>
  render(
    {
      width: 560,
      height: 220,
      mark: { type: "line", point: true },
      encoding: {
        x: { field: names.x, type: "ordinal", title: null, axis: { labelAngle: 0 } },
        y: { field: names.y, type: "quantitative", title: names.title, scale: { zero: false } },
        color: { field: names.series, type: "nominal", title: null },
      },
    } as Omit<vegaLite.TopLevelSpec, "data">,
    values,
  )

/** Horizontal bars, longest first. */
export const bars = (
  values: ReadonlyArray<Row>,
  names: {
    readonly x: string
    readonly y: string
    readonly series: string
    readonly title: string
  },
): Promise<string> =>
  render(
    {
      width: 460,
      height: { step: 18 },
      mark: "bar",
      encoding: {
        y: { field: names.y, type: "nominal", sort: "-x", title: null, axis: { labelLimit: 260 } },
        yOffset: { field: names.series },
        x: { field: names.x, type: "quantitative", title: names.title },
        color: { field: names.series, type: "nominal", title: null },
      },
    } as Omit<vegaLite.TopLevelSpec, "data">,
    values,
  )

/** How often each value occurs. */
export const histogram = (
  values: ReadonlyArray<Row>,
  names: { readonly x: string; readonly title: string },
): Promise<string> =>
  render(
    {
      width: 560,
      height: 160,
      mark: "bar",
      encoding: {
        x: { field: names.x, type: "quantitative", bin: { maxbins: 60 }, title: names.title },
        y: { aggregate: "count", type: "quantitative", title: "requests" },
      },
    } as Omit<vegaLite.TopLevelSpec, "data">,
    values,
  )
