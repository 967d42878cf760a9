import { Picker } from "@ashlar/core/ui/index.ts"
import { useMemo } from "preact/hooks"
import type { KeysAnswer } from "./client.ts"
import { type Column, columnOf } from "./columns.ts"

/** A column by a name people read: `auc`, or `param rate`. */
const nameOf = ({ kind, key }: Column): string => (kind === "metric" ? key : `${kind} ${key}`)

/** Chooses a column of numbers: a metric or a parameter. */
export const ColumnPicker = (props: {
  readonly label: string
  readonly keys: KeysAnswer
  readonly value: string
  readonly onChange: (id: string) => void
  readonly metricsOnly?: boolean
}) => {
  const ids = useMemo(() => {
    const columns = [
      ...props.keys.metrics.map((key) => `metric:${key}`),
      ...(props.metricsOnly === true
        ? []
        : ["attribute:duration", ...props.keys.params.map((key) => `param:${key}`)]),
    ].flatMap((id) => columnOf(id) ?? [])
    return new Map(columns.map((column) => [nameOf(column), column.id]))
  }, [props.keys, props.metricsOnly])
  const options = useMemo(() => [...ids.keys()], [ids])
  const column = columnOf(props.value)
  return (
    <Picker
      label={props.label}
      value={column === undefined ? "" : nameOf(column)}
      options={options}
      onChange={(name) => {
        const id = ids.get(name)
        if (id !== undefined) props.onChange(id)
      }}
    />
  )
}
