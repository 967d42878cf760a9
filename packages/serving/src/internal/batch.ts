import type { DataType } from "@ashlar/core"

type Tensors = Readonly<Record<string, DataType.Tensor>>
type Numeric = Exclude<DataType.TensorData, ReadonlyArray<string> | ReadonlyArray<Uint8Array>>

const isNumeric = (data: DataType.TensorData): data is Numeric => ArrayBuffer.isView(data)

/** Rows of a request: the first dimension that all its inputs share; `undefined` if they do not. */
export const rowsOf = (inputs: Tensors): number | undefined => {
  let rows: number | undefined
  for (const { shape } of Object.values(inputs)) {
    const first = shape[0]
    if (first === undefined || (rows !== undefined && rows !== first)) return undefined
    rows = first
  }
  return rows
}

/** Requests with equal keys can run as one: same inputs, types and trailing dimensions. */
export const keyOf = (inputs: Tensors, outputs: ReadonlyArray<string> | undefined): string =>
  `${Object.keys(inputs)
    .sort()
    .map((name) => {
      const tensor = inputs[name]
      return `${name}:${tensor?.datatype}:${tensor?.shape.slice(1).join("x")}`
    })
    .join(";")}>${outputs?.join(",") ?? "*"}`

/** Joins tensors along the first dimension. */
const join = (parts: ReadonlyArray<DataType.Tensor>): DataType.Tensor => {
  const first = parts[0] as DataType.Tensor
  const rows = parts.reduce((sum, part) => sum + (part.shape[0] ?? 0), 0)
  const shape = [rows, ...first.shape.slice(1)]
  if (!isNumeric(first.data)) {
    const data = parts.flatMap((part) => [...(part.data as ReadonlyArray<string>)])
    return { datatype: first.datatype, shape, data }
  }
  const length = parts.reduce((sum, part) => sum + part.data.length, 0)
  const data = new (first.data.constructor as new (length: number) => Float32Array)(length)
  let at = 0
  for (const part of parts) {
    data.set(part.data as Float32Array, at)
    at += part.data.length
  }
  return { datatype: first.datatype, shape, data }
}

/** Joins requests of one key into one. */
export const joinAll = (requests: ReadonlyArray<Tensors>): Tensors =>
  Object.fromEntries(
    Object.keys(requests[0] ?? {}).map((name) => [
      name,
      join(requests.map((request) => request[name] as DataType.Tensor)),
    ]),
  )

/** Cuts outputs back into the rows of each request; `undefined` if a model does not keep rows. */
export const split = (
  outputs: Tensors,
  rows: ReadonlyArray<number>,
): ReadonlyArray<Tensors> | undefined => {
  const total = rows.reduce((sum, count) => sum + count, 0)
  if (Object.values(outputs).some(({ shape }) => shape[0] !== total)) return undefined
  let start = 0
  return rows.map((count) => {
    const from = start
    start += count
    return Object.fromEntries(
      Object.entries(outputs).map(([name, { datatype, shape, data }]) => {
        const width = total === 0 ? 0 : data.length / total
        const part = data.slice(from * width, (from + count) * width)
        return [name, { datatype, shape: [count, ...shape.slice(1)], data: part }]
      }),
    )
  })
}
