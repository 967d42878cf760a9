/** LightGBM's text format: `key=value` lines before the first tree. */
import type { Signature } from "@ashlar/core"
import { whole } from "./json.ts"
import { Fault, type Source, text } from "./source.ts"

/** What a LightGBM model says of itself. */
export interface LightgbmDetails {
  readonly version: string
  readonly objective: string
  readonly features: number
  readonly featureNames: ReadonlyArray<string>
  readonly classes: number
  readonly treesPerIteration: number
}

const maxHeader = 16 << 20

/** The text before the first tree, read in growing pieces. */
const headerOf = async (source: Source): Promise<string> => {
  for (let length = 64 << 10; ; length *= 4) {
    const size = Math.min(length, maxHeader, source.size)
    const bytes = Buffer.from(await source.bytes(0, size, "header"))
    const end = bytes.indexOf("\nTree=")
    if (end >= 0) return text(bytes.subarray(0, end), "header", maxHeader)
    if (size === source.size) {
      // A model without trees ends its header by itself.
      const last = bytes.indexOf("\nend of trees")
      if (last >= 0) return text(bytes.subarray(0, last), "header", maxHeader)
      throw new Fault("header", "has no line 'Tree=': the file is cut short")
    }
    if (size === maxHeader) {
      throw new Fault("header", `is longer than ${maxHeader} bytes`, "TooLarge")
    }
  }
}

/** Reads the header of a model. */
export const read = async (
  source: Source,
): Promise<{ readonly details: LightgbmDetails; readonly signature: Signature.Signature }> => {
  const values = new Map<string, string>()
  for (const line of (await headerOf(source)).split("\n")) {
    const at = line.indexOf("=")
    if (at > 0) values.set(line.slice(0, at), line.slice(at + 1).trimEnd())
  }
  const version = values.get("version") ?? ""
  if (!/^v\d{1,3}$/.test(version)) throw new Fault("version", "is missing or not such as 'v4'")
  const features = whole(values.get("max_feature_idx"), "max_feature_idx", -1) + 1
  const featureNames = (values.get("feature_names") ?? "").split(" ").filter((name) => name !== "")
  if (featureNames.length !== features) {
    throw new Fault(
      "feature_names",
      `has ${featureNames.length} names, max_feature_idx says ${features}`,
    )
  }
  const classes = whole(values.get("num_class"), "num_class", 1)
  const treesPerIteration = whole(values.get("num_tree_per_iteration"), "num_tree_per_iteration", 1)
  return {
    details: {
      version,
      objective: values.get("objective") ?? "",
      features,
      featureNames,
      classes,
      treesPerIteration,
    },
    signature: {
      inputs: [
        { name: "features", datatype: "FP64", shape: [-1, features], columns: featureNames },
      ],
      outputs: [
        { name: "prediction", datatype: "FP64", shape: classes > 1 ? [-1, classes] : [-1] },
      ],
    },
  }
}
