/**
 * Packed online rows: numbers as little-endian float64 in feature order, then the texts as JSON.
 * The layout belongs to one digest of a view, which is part of its table's name.
 */
import type { FeatureView } from "../FeatureView.ts"

/** Name of the online table of a view. */
export const tableOf = (view: FeatureView): string =>
  `${view.name}@${view.version}:${view.digest.slice(7, 23)}`

/** Which features of a view are texts. */
export const isText = (view: FeatureView): ReadonlyArray<boolean> =>
  view.features.map((name) => Object.hasOwn(view.columns, name) && view.columns[name] === "string")

/** Packs the values of one row. */
export const pack = (numbers: Float64Array, texts: ReadonlyArray<string | null>): Uint8Array => {
  const head = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength)
  return texts.length === 0 ? head : Buffer.concat([head, Buffer.from(JSON.stringify(texts))])
}

/** The texts of a packed row with so many numbers. */
export const textsOf = (payload: Uint8Array, numbers: number): ReadonlyArray<string | null> => {
  const text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  return JSON.parse(text.toString("utf8", numbers * 8)) as ReadonlyArray<string | null>
}
