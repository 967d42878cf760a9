/**
 * The content digest of a table: SHA-256 over names, types and values, the same however the rows
 * are cut into batches, dictionary encoded or padded. Per column it hashes the positions of nulls,
 * the values (zero under a null, one NaN) and, for text and lists, the lengths.
 */
import type { Hash } from "node:crypto"
import * as Arrow from "apache-arrow"
import * as Digest from "../Digest.ts"
import {
  booleans,
  gather,
  isFixedWidth,
  isVarWidth,
  offsets32,
  strideOf,
  validity,
} from "./arrowData.ts"
import { nameOf } from "./columnType.ts"
import { invalid } from "./datasetError.ts"

const bytesOf = (view: ArrayBufferView): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength)

/** Digest of one column, fed chunk by chunk. */
class ColumnDigest {
  private readonly nulls: Hash = Digest.start()
  private readonly values: Hash = Digest.start()
  private readonly lengths: Hash = Digest.start()
  private readonly children: Array<ColumnDigest> = []
  private rows = 0

  update(data: Arrow.Data): void {
    const valid = validity(data)
    if (valid !== undefined) this.nullRows(valid)
    this.rows += data.length
    const type: Arrow.DataType = data.type
    if (Arrow.DataType.isNull(type)) return
    if (Arrow.DataType.isBool(type)) {
      const flags = booleans(data)
      if (valid !== undefined)
        for (let i = 0; i < flags.length; i++) if (valid[i] === 0) flags[i] = 0
      this.values.update(flags)
    } else if (isFixedWidth(type)) this.fixed(type, data, valid)
    else if (isVarWidth(type)) this.text(data, valid)
    else if (Arrow.DataType.isDictionary(type)) this.dictionary(data, valid)
    else this.nested(type, data, valid)
  }

  private nullRows(valid: Uint8Array): void {
    const rows: Array<number> = []
    for (let i = 0; i < valid.length; i++) if (valid[i] === 0) rows.push(this.rows + i)
    this.nulls.update(bytesOf(Float64Array.from(rows)))
  }

  private fixed(type: Arrow.DataType, data: Arrow.Data, valid: Uint8Array | undefined): void {
    const stride = strideOf(data)
    let values = data.values.subarray(0, data.length * stride)
    const isFloat = values instanceof Float64Array || values instanceof Float32Array
    if (valid !== undefined || (isFloat && hasNaN(values))) {
      values = values.slice()
      if (isFloat)
        for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i])) values[i] = Number.NaN
      for (let i = 0; valid !== undefined && i < data.length; i++) {
        if (valid[i] === 0)
          values.fill(
            values instanceof BigInt64Array || values instanceof BigUint64Array ? 0n : 0,
            i * stride,
            (i + 1) * stride,
          )
      }
    }
    if (Arrow.DataType.isFloat(type) || values.byteLength > 0) this.values.update(bytesOf(values))
  }

  private text(data: Arrow.Data, valid: Uint8Array | undefined): void {
    const offsets = offsets32(data)
    const lengths = new Uint32Array(data.length)
    let hidden = false
    for (let i = 0; i < data.length; i++) {
      const length = (offsets[i + 1] ?? 0) - (offsets[i] ?? 0)
      if (valid === undefined || valid[i] === 1) lengths[i] = length
      else if (length > 0) hidden = true
    }
    this.lengths.update(bytesOf(lengths))
    const bytes: Uint8Array = data.values
    if (!hidden) return void this.values.update(bytes.subarray(offsets[0], offsets[data.length]))
    for (let i = 0; i < data.length; i++) {
      if (valid?.[i] === 1) this.values.update(bytes.subarray(offsets[i], offsets[i + 1]))
    }
  }

  /** Decodes the dictionary; a null's code may be anything, so it is read as an empty value. */
  private dictionary(data: Arrow.Data, valid: Uint8Array | undefined): void {
    const entries = data.dictionary?.data ?? []
    const only = entries[0]
    const rows = new Int32Array(data.length)
    for (let i = 0; i < data.length; i++) rows[i] = valid?.[i] === 0 ? 0 : Number(data.values[i])
    if (only === undefined || entries.length !== 1) {
      throw invalid(
        "dictionary",
        "a dictionary column has its values in several pieces; join it first",
      )
    }
    const decoded = gather(only, rows)
    if (Arrow.DataType.isUtf8(decoded.type)) this.text(decoded, valid)
    else if (isFixedWidth(decoded.type)) this.fixed(decoded.type, decoded, valid)
    else throw invalid("dictionary", `a dictionary of ${nameOf(decoded.type)} has no digest`)
  }

  private nested(type: Arrow.DataType, data: Arrow.Data, valid: Uint8Array | undefined): void {
    const present: Array<number> = []
    for (let i = 0; i < data.length; i++) if (valid === undefined || valid[i] === 1) present.push(i)
    const shown = valid === undefined ? data : gather(data, Int32Array.from(present))
    if (Arrow.DataType.isStruct(type)) {
      shown.children.forEach((child, i) => this.child(i).update(child.slice(0, shown.length)))
      return
    }
    const child = shown.children[0]
    if (child !== undefined && Arrow.DataType.isFixedSizeList(type)) {
      return this.child(0).update(child.slice(0, shown.length * type.listSize))
    }
    if (child !== undefined && Arrow.DataType.isList(type)) {
      const offsets = offsets32(shown)
      const lengths = new Uint32Array(shown.length)
      for (let i = 0; i < shown.length; i++) lengths[i] = (offsets[i + 1] ?? 0) - (offsets[i] ?? 0)
      this.lengths.update(bytesOf(lengths))
      const start = offsets[0] ?? 0
      return this.child(0).update(child.slice(start, (offsets[shown.length] ?? start) - start))
    }
    throw invalid("type", `columns of type ${nameOf(type)} have no digest`)
  }

  private child(index: number): ColumnDigest {
    return (this.children[index] ??= new ColumnDigest())
  }

  finish(): unknown {
    return [
      this.rows,
      Digest.finish(this.nulls),
      Digest.finish(this.lengths),
      Digest.finish(this.values),
      this.children.map((child) => child.finish()),
    ]
  }
}

const hasNaN = (values: Float64Array | Float32Array): boolean => {
  for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i])) return true
  return false
}

/** Feeds batches of one schema; `finish` gives the digest. */
export class TableDigest {
  private readonly columns: ReadonlyArray<ColumnDigest>
  private readonly schema: Arrow.Schema

  constructor(schema: Arrow.Schema) {
    this.schema = schema
    this.columns = schema.fields.map(() => new ColumnDigest())
  }

  update(batch: Arrow.RecordBatch): void {
    this.columns.forEach((column, i) => {
      const data = batch.data.children[i]
      if (data !== undefined) column.update(data.slice(0, batch.numRows))
    })
  }

  finish(): Digest.Digest {
    return Digest.ofJson(
      this.columns.map((column, i) => {
        const field = this.schema.fields[i]
        return [field?.name ?? "", field === undefined ? "" : nameOf(field.type), column.finish()]
      }),
    )
  }
}
