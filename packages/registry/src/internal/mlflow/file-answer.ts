import * as HttpKit from "@ashlar/core/fastify"
import { Timestamp } from "@ashlar/core"
import * as Stream from "effect/Stream"
import type { FastifyRequest } from "fastify"
import type { Artifacts, File } from "../../Artifacts.ts"

/** Extensions, and names without one, that MLflow serves as plain text. */
const texts = new Set(
  "txt log err cfg conf cnf cf ini properties prop hocon toml yaml yml xml json js py py3 csv tsv md rst ipynb MLmodel MLproject".split(
    " ",
  ),
)

const types: Readonly<Record<string, string>> = {
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  gif: "image/gif",
  webp: "image/webp",
  svg: "image/svg+xml",
  html: "text/html",
  htm: "text/html",
  css: "text/css",
  pdf: "application/pdf",
  zip: "application/zip",
  gz: "application/gzip",
  tar: "application/x-tar",
  wav: "audio/x-wav",
  mp4: "video/mp4",
}

/** The media type MLflow gives a file of this name. */
export const typeOf = (name: string): string => {
  const dot = name.lastIndexOf(".")
  const extension = dot > 0 ? name.slice(dot + 1) : name
  if (texts.has(extension)) return "text/plain"
  const known = extension.toLowerCase()
  return (Object.hasOwn(types, known) ? types[known] : undefined) ?? "application/octet-stream"
}

/** RFC 6266: an attachment; a name beyond ASCII is given twice. */
export const dispositionOf = (name: string): string => {
  const quoted = (text: string) =>
    /^[\w!#$%&'*+.^`|~-]+$/.test(text) ? text : `"${text.replace(/["\\]/g, "\\$&")}"`
  if (/^[\x20-\x7e]*$/.test(name)) return `attachment; filename=${quoted(name)}`
  const plain = name.normalize("NFKD").replace(/[^\x20-\x7e]/g, "")
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `attachment; filename=${quoted(plain === "" ? "download" : plain)}; filename*=UTF-8''${encoded}`
}

interface Bounds {
  readonly start: number
  /** One past the last byte. */
  readonly end: number
}

/** The one range of a `Range` header; `undefined` for the whole, `"none"` when it lies past the end. */
export const rangeOf = (header: string | undefined, size: number): Bounds | "none" | undefined => {
  const [, first = "", last = ""] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? "") ?? []
  if (first === "" && last === "") return undefined
  if (first === "") {
    const length = Math.min(Number(last), size)
    return length === 0 ? "none" : { start: size - length, end: size }
  }
  const start = Number(first)
  if (last !== "" && Number(last) < start) return undefined
  if (start >= size) return "none"
  return { start, end: last === "" ? size : Math.min(Number(last) + 1, size) }
}

const namesTag = (header: string | undefined, tag: string): boolean =>
  header !== undefined &&
  header.split(",").some((one) => ["*", tag, `W/${tag}`].includes(one.trim()))

/**
 * Answers with a file: always as an attachment that no browser shows as a page, in part when asked
 * to, and not at all to who has it already. Damage cuts the connection before the last bytes.
 */
export const answerFile = (
  artifacts: Artifacts["Service"],
  file: Pick<File, "path" | "digest" | "size" | "created">,
  request: FastifyRequest,
): HttpKit.Reply => {
  const { digest, size, created } = file
  const tag = `"${digest}"`
  const name = file.path.split("/").at(-1) ?? ""
  const common = {
    etag: tag,
    "accept-ranges": "bytes",
    "cache-control": "no-cache",
    "last-modified": new Date(Timestamp.toMillis(created)).toUTCString(),
  }
  const { range: asked, "if-none-match": noneMatch, "if-range": ifRange } = request.headers
  if (namesTag(noneMatch, tag)) {
    return HttpKit.reply(new Uint8Array(0), { status: 304, headers: common })
  }
  const isSame = typeof ifRange !== "string" || ifRange === tag
  const range = isSame ? rangeOf(asked, size) : undefined
  if (range === "none") {
    return HttpKit.reply(
      {
        error_code: "INVALID_PARAMETER_VALUE",
        message: `The range lies past the ${size} bytes of the file.`,
      },
      { status: 416, headers: { ...common, "content-range": `bytes */${size}` } },
    )
  }
  const { start, end } = range ?? { start: 0, end: size }
  return HttpKit.reply(
    request.method === "HEAD" ? Stream.empty : artifacts.read(file, { start, end }),
    {
      status: range === undefined ? 200 : 206,
      headers: {
        ...common,
        "content-type": typeOf(name),
        "content-length": String(end - start),
        "content-disposition": dispositionOf(name),
        "x-content-type-options": "nosniff",
        ...(range === undefined ? {} : { "content-range": `bytes ${start}-${end - 1}/${size}` }),
      },
    },
  )
}
