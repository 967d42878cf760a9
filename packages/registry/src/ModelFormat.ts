/**
 * Recognises what a model file or directory holds and reads its header: format, details and, where
 * the file says enough, the signature. Only headers are read, within limits; nothing is unpickled
 * and no code of a model runs.
 *
 * @module
 */
import { Failure, type Signature } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Archive from "./internal/formats/archive.ts"
import * as Lightgbm from "./internal/formats/lightgbm.ts"
import * as Mlmodel from "./internal/formats/mlmodel.ts"
import * as Onnx from "./internal/formats/onnx.ts"
import * as Pmml from "./internal/formats/pmml.ts"
import * as Safetensors from "./internal/formats/safetensors.ts"
import { Fault, type Source, withFile } from "./internal/formats/source.ts"
import * as Tfjs from "./internal/formats/tfjs.ts"
import * as Xgboost from "./internal/formats/xgboost.ts"

export type { KerasDetails, TorchDetails } from "./internal/formats/archive.ts"
export type { LightgbmDetails } from "./internal/formats/lightgbm.ts"
export type { MlflowDetails } from "./internal/formats/mlmodel.ts"
export type { OnnxDetails, OnnxValue } from "./internal/formats/onnx.ts"
export type { PmmlDetails, PmmlField } from "./internal/formats/pmml.ts"
export type { SafetensorsDetails, SafeTensor } from "./internal/formats/safetensors.ts"
export type { TfjsDetails } from "./internal/formats/tfjs.ts"
export type { XgboostDetails } from "./internal/formats/xgboost.ts"

/** A file is no model that is read, or breaks a rule of its format; `field` says where. */
export class ModelFormatError extends Schema.TaggedError<ModelFormatError>()(
  "ModelFormatError",
  Failure.fields(["InvalidInput", "NotFound", "TooLarge", "Unavailable"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

interface Found<F extends string, D> {
  readonly format: F
  readonly details: D
  /**
   * Inputs and outputs, where the file tells all of them with types this platform has. Tree
   * libraries keep no tensor names: theirs are `features` (with columns) and `prediction`.
   */
  readonly signature?: Signature.Signature
}

/** What was recognised; `format` says which details there are. */
export type Recognised =
  | Found<"onnx", Onnx.OnnxDetails>
  | Found<"tensorflowjs", Tfjs.TfjsDetails>
  | Found<"safetensors", Safetensors.SafetensorsDetails>
  | Found<"xgboost", Xgboost.XgboostDetails>
  | Found<"lightgbm", Lightgbm.LightgbmDetails>
  | Found<"pmml", Pmml.PmmlDetails>
  | Found<"pytorch" | "torchscript", Archive.TorchDetails>
  | Found<"keras", Archive.KerasDetails>
  | Found<"scikit-learn" | "mlflow", Mlmodel.MlflowDetails>

/** Formats that are recognised. */
export type Format = Recognised["format"]

const unknown = (rule: string): Fault =>
  new Fault(
    "format",
    `${rule}; known are ONNX, TensorFlow.js, safetensors, XGBoost (JSON, UBJSON), LightGBM text, PMML 4, PyTorch and Keras 3 archives, and MLflow directories`,
  )

const startsWith = (bytes: Uint8Array, ...prefix: ReadonlyArray<number>): boolean =>
  prefix.every((byte, i) => bytes[i] === byte)

/** A safetensors file starts with the length of its JSON header. */
const isSafetensors = (head: Uint8Array): boolean =>
  head[8] === 0x7b && startsWith(head.subarray(5), 0, 0, 0)

const ofSource = async (source: Source): Promise<Recognised> => {
  if (source.size === 0) throw unknown("the file is empty")
  const head = await source.head(64)
  const start = Buffer.from(head)
    .toString("latin1")
    .replace(/^\u00ef\u00bb\u00bf/, "")
    .trimStart()
  if (startsWith(head, 0x50, 0x4b, 3, 4)) return Archive.read(source)
  if (isSafetensors(head)) return { format: "safetensors", ...(await Safetensors.read(source)) }
  if (/^tree\r?\n/.test(start)) return { format: "lightgbm", ...(await Lightgbm.read(source)) }
  if (start.startsWith("<")) return { format: "pmml", ...(await Pmml.read(source)) }
  if (/^\{\s*["}]/.test(start) || start.trim() === "{") {
    return path.basename(source.file) === "model.json"
      ? ofModelJson(source)
      : { format: "xgboost", ...(await Xgboost.read(source, "json")) }
  }
  if (start.startsWith("{")) return { format: "xgboost", ...(await Xgboost.read(source, "ubj")) }
  if (startsWith(head, 0x89, 0x48, 0x44, 0x46)) {
    throw unknown("this is HDF5, Keras's format before version 3: save it as '.keras'")
  }
  if (head[0] === 0x80 && (head[1] ?? 9) < 6) {
    throw unknown("this is a Python pickle, which is never loaded: log the model with MLflow")
  }
  // Protobuf has no magic number; exporters write ir_version first.
  if (startsWith(head, 0x08) || source.file.endsWith(".onnx")) {
    return { format: "onnx", ...(await Onnx.read(source)) }
  }
  throw unknown("the file's first bytes are of no known format")
}

/** TensorFlow.js and XGBoost both like this name. */
const ofModelJson = async (source: Source): Promise<Recognised> => {
  const head = Buffer.from(await source.head(4096)).toString("latin1")
  return /^\s*\{\s*"(?:learner|version)"\s*:\s*[[{]/.test(head)
    ? { format: "xgboost", ...(await Xgboost.read(source, "json")) }
    : { format: "tensorflowjs", ...(await Tfjs.read(source.file)) }
}

const ofDirectory = async (directory: string): Promise<Recognised> => {
  const names: Array<string> = []
  for await (const entry of await fs.opendir(directory)) {
    if (names.length >= 10_000) throw new Fault("directory", "has over 10000 files", "TooLarge")
    names.push(entry.name)
  }
  if (names.includes("MLmodel")) return Mlmodel.read(directory)
  if (names.includes("model.json")) return withFile(path.join(directory, "model.json"), ofSource)
  const models = names.filter((name) => /\.(onnx|safetensors|ubj|pmml|keras|pt|pth)$/i.test(name))
  const [only] = models
  if (only === undefined) throw unknown("the directory has neither MLmodel nor a model file")
  if (models.length > 1) {
    throw unknown(`the directory has ${models.length} model files, give one of them`)
  }
  return withFile(path.join(directory, only), ofSource)
}

const toError = (target: string, cause: unknown): ModelFormatError => {
  if (cause instanceof Fault) {
    return new ModelFormatError({
      reason: cause.reason,
      message: `'${target}': ${cause.field} ${cause.message}. Check the file, or export the model again`,
      field: cause.field,
    })
  }
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : ""
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new ModelFormatError({
      reason: "NotFound",
      message: `no '${target}': check the path`,
      cause,
    })
  }
  if (code === "ERR_INVALID_ARG_VALUE" || code === "ENAMETOOLONG") {
    return new ModelFormatError({
      reason: "InvalidInput",
      message: `no path can be '${target.slice(0, 200)}'`,
      field: "path",
      cause,
    })
  }
  return new ModelFormatError({
    reason: "Unavailable",
    message: `'${target}' cannot be read: ${String(cause)}`,
    cause,
  })
}

/**
 * Recognises a model file or directory by its content. A file that breaks a rule of its format, or
 * names a file outside its own directory, fails with `InvalidInput`; one beyond the limits with
 * `TooLarge`; both name the field.
 *
 * @example
 * ```ts
 * import { ModelFormat } from "@ashlar/registry"
 * import * as Effect from "effect/Effect"
 * import { writeFile } from "node:fs/promises"
 *
 * const header = JSON.stringify({ w: { dtype: "F32", shape: [2], data_offsets: [0, 8] } })
 * const length = Buffer.alloc(8)
 * length.writeBigUInt64LE(BigInt(header.length))
 * await writeFile("weights.safetensors", Buffer.concat([length, Buffer.from(header), Buffer.alloc(8)]))
 *
 * const model = await Effect.runPromise(ModelFormat.recognise("weights.safetensors"))
 * model.format // => "safetensors"
 * model.details
 * // => { tensors: [{ name: "w", dtype: "F32", shape: [2], offsets: [0, 8] }], parameters: 2, metadata: {} }
 * ```
 */
export const recognise = (target: string): Effect.Effect<Recognised, ModelFormatError> =>
  Effect.tryPromise({
    try: async () =>
      (await fs.stat(target)).isDirectory() ? ofDirectory(target) : withFile(target, ofSource),
    catch: (cause) => toError(target, cause),
  })
