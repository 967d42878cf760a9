/** PMML 4.x: header, data dictionary and the first model's fields. https://dmg.org/pmml/v4-4-1 */
import type { DataType, Signature } from "@ashlar/core"
import { Fault, type Source, text } from "./source.ts"

/** A field of the data dictionary. */
export interface PmmlField {
  readonly name: string
  readonly dataType: string
  readonly opType: string
}

/** What a PMML file says of itself. */
export interface PmmlDetails {
  readonly version: string
  readonly application: string
  /** Element of the first model, e.g. `TreeModel`. */
  readonly model: string
  readonly functionName: string
  readonly fields: ReadonlyArray<PmmlField>
  readonly targets: ReadonlyArray<string>
}

const maxHeader = 16 << 20
const maxFields = 100_000

const datatypes: Readonly<Record<string, DataType.DataType>> = {
  string: "BYTES",
  integer: "INT64",
  float: "FP32",
  double: "FP64",
  boolean: "BOOL",
}

/** Elements that may stand before the body of a model. */
const modelHead = new Set([
  "Extension",
  "MiningSchema",
  "Output",
  "ModelStats",
  "ModelExplanation",
  "Targets",
  "LocalTransformations",
])

interface Tag {
  readonly name: string
  readonly kind: "open" | "close" | "empty"
  readonly attributes: ReadonlyMap<string, string>
}

const entities: Readonly<Record<string, string>> = {
  lt: "<",
  gt: ">",
  amp: "&",
  quot: '"',
  apos: "'",
}

/** The five entities of XML and character references; documents cannot declare others. */
const unescape = (value: string, field: string): string =>
  value.replace(/&([^;&]{0,12});?/g, (_, name: string) => {
    const known = Object.hasOwn(entities, name) ? entities[name] : undefined
    if (known !== undefined) return known
    const match = /^#(?:x([0-9a-fA-F]{1,6})|(\d{1,7}))$/.exec(name)
    const code =
      match === null
        ? Number.NaN
        : Number.parseInt(match[1] ?? match[2] ?? "", match[1] === undefined ? 10 : 16)
    if (code > 0 && code <= 0x10ffff) return String.fromCodePoint(code)
    throw new Fault(field, `has the entity '&${name};', which XML does not define`)
  })

const tagPattern = /^(\/?)(?:[\w.-]+:)?([A-Za-z_][\w.-]*)\s*/
const attributePattern = /([\w:.-]+)\s*=\s*("[^"<]*"|'[^'<]*')\s*/y

const tagOf = (source: string): Tag => {
  const head = tagPattern.exec(source)
  if (head === null)
    throw new Fault("XML", `has the tag <${source.slice(0, 60)}>, which is malformed`)
  const name = head[2] ?? ""
  const attributes = new Map<string, string>()
  attributePattern.lastIndex = head[0].length
  let end = head[0].length
  for (let m = attributePattern.exec(source); m !== null; m = attributePattern.exec(source)) {
    end = attributePattern.lastIndex
    attributes.set(m[1] ?? "", unescape((m[2] ?? "").slice(1, -1), `${name}.${m[1] ?? ""}`))
    if (attributes.size > 1000) throw new Fault(name, "has over 1000 attributes", "TooLarge")
  }
  const rest = source.slice(end).trim()
  if (rest !== "" && rest !== "/") throw new Fault(name, "has malformed attributes")
  return { name, kind: head[1] === "/" ? "close" : rest === "/" ? "empty" : "open", attributes }
}

/** Tags one after the other; comments, CDATA and text are left out, a DOCTYPE is refused. */
function* tags(source: string): Generator<Tag> {
  for (let at = source.indexOf("<"); at >= 0; at = source.indexOf("<", at)) {
    const skip = (open: string, close: string): boolean => {
      if (!source.startsWith(open, at)) return false
      const end = source.indexOf(close, at + open.length)
      if (end < 0) throw new Fault("XML", `has '${open}' without '${close}': the file is cut short`)
      at = end + close.length
      return true
    }
    if (skip("<!--", "-->") || skip("<?", "?>") || skip("<![CDATA[", "]]>")) continue
    if (source.startsWith("<!", at)) {
      throw new Fault("XML", "declares a DOCTYPE; PMML needs none and entities are not expanded")
    }
    // A '>' may stand in an attribute's value.
    let end = at + 1
    for (let quote = ""; ; end++) {
      const char = source[end]
      if (char === undefined || end - at > 1 << 20) {
        throw new Fault("XML", "has a tag that does not end: the file is cut short")
      }
      if (quote === "" && char === ">") break
      if (quote === "" && (char === '"' || char === "'")) quote = char
      else if (char === quote) quote = ""
    }
    yield tagOf(source.slice(at + 1, end))
    at = end + 1
  }
}

const attribute = (tag: Tag, name: string): string => {
  const value = tag.attributes.get(name)
  if (value !== undefined && value !== "") return value
  throw new Fault(`${tag.name}.${name}`, "is missing")
}

/** Reads the header of a document. */
export const read = async (
  source: Source,
): Promise<{ readonly details: PmmlDetails; readonly signature?: Signature.Signature }> => {
  const size = Math.min(source.size, maxHeader)
  const bytes = await source.bytes(0, size, "file")
  // What is read may end inside a character.
  const document = size === source.size ? text(bytes, "XML", size) : Buffer.from(bytes).toString()
  const stack: Array<string> = []
  const fields = new Map<string, PmmlField>()
  const used = new Map<string, string>()
  const outputs: Array<{ readonly name: string; readonly dataType: string | undefined }> = []
  const found = { version: "", application: "", model: "", functionName: "" }
  let complete = false
  for (const tag of tags(document)) {
    if (tag.kind === "close") {
      const open = stack.pop()
      if (open !== tag.name) throw new Fault("XML", `closes <${open ?? ""}> with </${tag.name}>`)
      // Schema and Output of the first model come before its body.
      complete = tag.name === found.model && stack.length === 1
      if (complete || stack.length === 0) break
      continue
    }
    const parent = stack.at(-1)
    const inModel = found.model !== "" && stack[1] === found.model
    if (stack.length === 0) {
      if (tag.name !== "PMML") throw new Fault("XML", `starts with <${tag.name}>, not with <PMML>`)
      found.version = attribute(tag, "version")
      if (!/^4(\.\d{1,2}){0,2}$/.test(found.version)) {
        throw new Fault("PMML.version", `is '${found.version.slice(0, 40)}'; 4.x is read`)
      }
    } else if (parent === "Header" && tag.name === "Application") {
      found.application =
        `${tag.attributes.get("name") ?? ""} ${tag.attributes.get("version") ?? ""}`.trim()
    } else if (parent === "DataDictionary" && tag.name === "DataField") {
      if (fields.size >= maxFields)
        throw new Fault("DataDictionary", `has over ${maxFields} fields`, "TooLarge")
      const name = attribute(tag, "name")
      fields.set(name, {
        name,
        dataType: attribute(tag, "dataType"),
        opType: tag.attributes.get("optype") ?? "",
      })
    } else if (stack.length === 1 && tag.attributes.has("functionName") && found.model === "") {
      found.model = tag.name
      found.functionName = attribute(tag, "functionName")
      complete = tag.kind === "empty"
    } else if (inModel && stack.length === 2 && !modelHead.has(tag.name)) {
      // The body of the model: everything asked for stands before it.
      complete = true
      break
    } else if (
      inModel &&
      stack.length === 3 &&
      parent === "MiningSchema" &&
      tag.name === "MiningField"
    ) {
      used.set(attribute(tag, "name"), tag.attributes.get("usageType") ?? "active")
    } else if (inModel && stack.length === 3 && parent === "Output" && tag.name === "OutputField") {
      if (outputs.length >= maxFields)
        throw new Fault("Output", `has over ${maxFields} fields`, "TooLarge")
      outputs.push({ name: attribute(tag, "name"), dataType: tag.attributes.get("dataType") })
    }
    if (tag.kind === "open") stack.push(tag.name)
    if (stack.length > 200) throw new Fault("XML", "nests deeper than 200 elements", "TooLarge")
  }
  if (found.version === "") throw new Fault("PMML", "is missing: this is no PMML document")
  if (size === source.size && stack.length > 0 && !complete) {
    throw new Fault("XML", `ends inside <${stack.at(-1)}>: the file is cut short`)
  }
  if (fields.size === 0) throw new Fault("DataDictionary", "is missing or has no DataField")
  if (found.model === "") throw new Fault("PMML", "holds no model")
  for (const name of used.keys()) {
    if (!fields.has(name)) {
      throw new Fault("MiningSchema", `names '${name.slice(0, 100)}', which is no DataField`)
    }
  }
  const ofUsage = (...usages: ReadonlyArray<string>) =>
    [...used].flatMap(([name, usage]) => (usages.includes(usage) ? [name] : []))
  const targets = ofUsage("target", "predicted")
  const column = (name: string, dataType: string | undefined): Signature.TensorSpec | undefined => {
    const datatype = Object.hasOwn(datatypes, dataType ?? "")
      ? datatypes[dataType ?? ""]
      : undefined
    return datatype === undefined ? undefined : { name, datatype, shape: [-1] }
  }
  const isSpec = (spec: Signature.TensorSpec | undefined): spec is Signature.TensorSpec =>
    spec !== undefined
  const inputs = ofUsage("active").map((name) => column(name, fields.get(name)?.dataType))
  const given =
    outputs.length > 0
      ? outputs.map(({ name, dataType }) => column(name, dataType))
      : targets.map((name) => column(name, fields.get(name)?.dataType))
  const known = inputs.every(isSpec) && given.every(isSpec) && inputs.length > 0 && given.length > 0
  return {
    details: { ...found, fields: [...fields.values()], targets },
    ...(known
      ? { signature: { inputs: inputs.filter(isSpec), outputs: given.filter(isSpec) } }
      : {}),
  }
}
