import { Alert, Empty, formatBytes, Spinner, useLoad } from "@ashlar/core/ui/index.ts"
import { useEffect, useRef } from "preact/hooks"
import { api, type PreviewAnswer } from "./client.ts"
import { parseTable } from "./csv.ts"
import { change, usePlace } from "./location.ts"

/** Rows of a table that are shown. */
const maxRows = 200

const pretty = (text: string): string => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}

/** An image as pixels: nothing in it runs, whatever it says it is. */
const ImagePreview = (props: { readonly runId: string; readonly path: string }) => {
  const canvas = useRef<HTMLCanvasElement>(null)
  const { runId, path } = props
  const { value, error } = useLoad(`${runId} ${path}`, (signal) => api.image(runId, path, signal))
  useEffect(() => {
    const element = canvas.current
    if (element === null || value === undefined) return
    element.width = value.width
    element.height = value.height
    element.getContext("2d")?.drawImage(value, 0, 0)
  }, [value])
  if (error !== undefined) return <Alert>{error.message}</Alert>
  return (
    <>
      {value === undefined ? <Spinner /> : null}
      <canvas ref={canvas} role="img" aria-label={path} hidden={value === undefined} />
    </>
  )
}

const TablePreview = ({ text, path }: { readonly text: string; readonly path: string }) => {
  const [head = [], ...rows] = parseTable(text, path.endsWith(".tsv") ? "\t" : ",", maxRows + 1)
  return (
    <table class="k-table">
      <thead>
        <tr>
          {head.map((name, i) => (
            <th key={i}>{name}</th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row, r) => (
          <tr key={r}>
            {row.map((value, i) => (
              <td key={i}>{value}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  )
}

const Shown = ({ runId, preview }: { readonly runId: string; readonly preview: PreviewAnswer }) => {
  const { kind, path, text = "" } = preview
  if (kind === "image") return <ImagePreview runId={runId} path={path} />
  if (kind === "binary") {
    return <Empty title="No preview">This file is neither text nor an image.</Empty>
  }
  if (kind === "csv") return <TablePreview text={text} path={path} />
  return <pre>{kind === "json" && !preview.truncated ? pretty(text) : text}</pre>
}

const Preview = ({ runId, path }: { readonly runId: string; readonly path: string }) => {
  const { value, error } = useLoad(`${runId} ${path}`, (signal) => api.preview(runId, path, signal))
  if (error !== undefined) return <Alert>{error.message}</Alert>
  if (value === undefined) return <Spinner />
  return (
    <>
      {value.truncated ? (
        <p class="k-quiet">The beginning of {formatBytes(value.size)} is shown.</p>
      ) : null}
      <Shown runId={runId} preview={value} />
    </>
  )
}

/** The files of a run, and what is in them. */
export const Artifacts = ({ runId }: { readonly runId: string }) => {
  const { params } = usePlace()
  const { value, error } = useLoad(runId, (signal) => api.artifacts(runId, signal))
  if (error !== undefined) return <Alert>{error.message}</Alert>
  if (value === undefined) return <Spinner />
  const files = value.items
  if (files.length === 0) return <Empty title="No artifacts">This run has stored no files.</Empty>
  const chosen = files.find(({ path }) => path === params.get("file")) ?? files[0]
  return (
    <div class="k-card files">
      <ul class="file-list" aria-label="Files">
        {files.slice(0, 2000).map(({ path, size }) => (
          <li key={path}>
            <button
              type="button"
              aria-current={path === chosen?.path}
              title={path}
              onClick={() => change({ file: path })}
            >
              <span class="k-clip">{path}</span>
              <span class="k-quiet">{formatBytes(size)}</span>
            </button>
          </li>
        ))}
      </ul>
      <div class="preview" aria-live="polite">
        {chosen === undefined ? null : (
          <Preview runId={runId} path={chosen.path} key={chosen.path} />
        )}
      </div>
    </div>
  )
}
