/** Models in zip archives: Keras v3, PyTorch and TorchScript. Nothing is unpickled. */
import { list as jsonList, member, object, parseObject, string, whole } from "./json.ts"
import { Fault, type Source, text } from "./source.ts"
import * as Zip from "./zip.ts"

/** What a `.keras` file says of itself. */
export interface KerasDetails {
  readonly kerasVersion: string
  readonly saved: string
  readonly className: string
  readonly name: string
  /** Shape of the input where the model was built with one; null is a free dimension. */
  readonly inputShape?: ReadonlyArray<number | null>
  readonly weightsBytes: number
}

/** What the listing of a PyTorch archive says. */
export interface TorchDetails {
  /** Name of the folder in the archive. */
  readonly archive: string
  /** Version of the archive's layout, e.g. `3`. */
  readonly version: string
  readonly byteOrder: string
  /** Files with the data of tensors, and their bytes. */
  readonly storages: number
  readonly storageBytes: number
  /** Files of TorchScript code; empty for a pickle of weights or of a module. */
  readonly code: ReadonlyArray<string>
}

const jsonLimit = 32 << 20

const small = async (
  source: Source,
  entries: ReadonlyMap<string, Zip.ZipEntry>,
  name: string,
): Promise<string> => {
  const entry = entries.get(name)
  return entry === undefined ? "" : text(await Zip.readEntry(source, entry, 4096), name).trim()
}

const keras = async (
  source: Source,
  entries: ReadonlyMap<string, Zip.ZipEntry>,
): Promise<KerasDetails> => {
  const json = async (name: string) => {
    const entry = entries.get(name)
    if (entry === undefined) throw new Fault(name, "is missing in the archive")
    return parseObject(await Zip.readEntry(source, entry, jsonLimit), name)
  }
  const metadata = await json("metadata.json")
  const config = await json("config.json")
  const weights = entries.get("model.weights.h5")
  if (weights === undefined) throw new Fault("model.weights.h5", "is missing in the archive")
  const inner = object(member(config, "config") ?? {}, "config.json.config")
  const build = object(member(config, "build_config") ?? {}, "config.json.build_config")
  const shape = member(build, "input_shape")
  const isShape =
    Array.isArray(shape) && shape.every((size) => size === null || typeof size === "number")
  return {
    kerasVersion: string(member(metadata, "keras_version"), "metadata.json.keras_version"),
    saved: string(member(metadata, "date_saved") ?? "", "metadata.json.date_saved"),
    className: string(member(config, "class_name"), "config.json.class_name"),
    name: string(member(inner, "name") ?? "", "config.json.config.name"),
    ...(isShape
      ? {
          inputShape: jsonList(shape, "config.json.build_config.input_shape", 64).map((size) =>
            size === null ? null : whole(size, "config.json.build_config.input_shape"),
          ),
        }
      : {}),
    weightsBytes: weights.size,
  }
}

/** Recognises the archive by its files. */
export const read = async (
  source: Source,
): Promise<
  | { readonly format: "keras"; readonly details: KerasDetails }
  | { readonly format: "pytorch" | "torchscript"; readonly details: TorchDetails }
> => {
  const entries = new Map((await Zip.list(source)).map((entry) => [entry.name, entry]))
  if (entries.has("config.json") && entries.has("metadata.json")) {
    return { format: "keras", details: await keras(source, entries) }
  }
  const pickle = [...entries.keys()].find((name) => /^[^/]+\/data\.pkl$/.test(name))
  if (pickle === undefined) {
    throw new Fault("zip", "is neither a Keras model nor a PyTorch archive: it has no */data.pkl")
  }
  const archive = pickle.slice(0, pickle.indexOf("/"))
  const inside = [...entries.values()].filter(({ name }) => name.startsWith(`${archive}/`))
  const storages = inside.filter(({ name }) => /^[^/]+\/data\/[^/]+$/.test(name))
  const code = inside.map(({ name }) => name).filter((name) => name.startsWith(`${archive}/code/`))
  const version =
    (await small(source, entries, `${archive}/version`)) ||
    (await small(source, entries, `${archive}/.data/version`))
  if (!/^\d{1,4}$/.test(version)) throw new Fault(`${archive}/version`, "is missing or no number")
  const scripted = code.length > 0 && entries.has(`${archive}/constants.pkl`)
  return {
    format: scripted ? "torchscript" : "pytorch",
    details: {
      archive,
      version,
      byteOrder: await small(source, entries, `${archive}/byteorder`),
      storages: storages.length,
      storageBytes: storages.reduce((sum, { size }) => sum + size, 0),
      code,
    },
  }
}
