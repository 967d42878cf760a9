/** Directories that MLflow wrote: what their MLmodel says. No flavor is loaded. */
import { Signature, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as path from "node:path"
import { parse } from "yaml"
import { type JsonObject, member, object, optionalString } from "./json.ts"
import { Fault, sizeInside, text, withFile } from "./source.ts"

/** What an MLmodel says. */
export interface MlflowDetails {
  readonly flavors: ReadonlyArray<string>
  readonly mlflowVersion: string
  readonly modelUuid: string
  readonly runId: string
  /** Python the model was logged with, and its own library's version, where given. */
  readonly pythonVersion: string
  readonly libraryVersion: string
  /** File or directory the first flavor loads. */
  readonly entry: string
}

/** Where flavors say which file they load. */
const entryKeys = ["data", "model_path", "model_data", "pickled_model", "model_code_path"]

/** The flavor that loads the model first. */
const nativeOf = (names: ReadonlyArray<string>): string | undefined =>
  names.find((name) => name !== "python_function") ?? names[0]

const limit = 4 << 20
const maxDepth = 100

/** Brackets and list markers nested so deep that only an attack writes them cost quadratic time. */
const isTooDeep = (source: string): boolean => {
  let depth = 0
  for (const char of source) {
    if (char === "[" || char === "{") {
      if (++depth > maxDepth) return true
    } else if ((char === "]" || char === "}") && depth > 0) depth -= 1
  }
  return /(?:[-?:][ \t]+){100}/.test(source)
}

/** The content of a directory's MLmodel. */
const load = async (directory: string): Promise<JsonObject> => {
  await sizeInside(directory, "MLmodel", "MLmodel")
  const source = await withFile(path.join(directory, "MLmodel"), async (file) => {
    if (file.size > limit) {
      throw new Fault("MLmodel", `has ${file.size} bytes, at most ${limit} are read`, "TooLarge")
    }
    return text(await file.bytes(0, file.size, "MLmodel"), "MLmodel", limit)
  })
  if (isTooDeep(source)) throw new Fault("MLmodel", `nests deeper than ${maxDepth} levels`)
  let parsed: unknown
  try {
    parsed = parse(source, {
      maxAliasCount: 20,
      version: "1.1",
      schema: "core",
      logLevel: "silent",
    })
  } catch (cause) {
    throw new Fault(
      "MLmodel",
      `is not YAML: ${cause instanceof Error ? cause.message : String(cause)}`,
    )
  }
  return object(parsed, "MLmodel")
}

/** Reads the MLmodel of a directory. */
export const read = async (
  directory: string,
): Promise<{
  readonly format: "scikit-learn" | "mlflow"
  readonly details: MlflowDetails
  readonly signature?: Signature.Signature
}> => {
  const model = await load(directory)
  const flavors = object(member(model, "flavors"), "flavors")
  const names = Object.keys(flavors)
  const native = nativeOf(names)
  if (native === undefined) throw new Fault("flavors", "names none")
  const settings = object(member(flavors, native), `flavors.${native}`)
  const python = object(member(flavors, "python_function") ?? {}, "flavors.python_function")
  const entryKey = entryKeys.find((name) => typeof member(settings, name) === "string")
  const entry = optionalString(
    entryKey === undefined ? member(python, "model_path") : member(settings, entryKey),
    `flavors.${native}.${entryKey ?? "model_path"}`,
  )
  // The path must stay inside; MLflow also names directories.
  if (entry !== undefined) {
    await sizeInside(directory, entry, `flavors.${native}.${entryKey ?? "model_path"}`).catch(
      (cause: unknown) => {
        if (cause instanceof Fault && cause.message.endsWith("is no regular file")) return
        throw cause
      },
    )
  }
  const version = Object.keys(settings).find((key) => /^(\w+_version|version)$/.test(key))
  const string = (value: unknown, field: string) => optionalString(value, field) ?? ""
  const details: MlflowDetails = {
    flavors: names,
    mlflowVersion: string(member(model, "mlflow_version"), "mlflow_version"),
    modelUuid: string(member(model, "model_uuid"), "model_uuid"),
    runId: string(member(model, "run_id"), "run_id"),
    pythonVersion: string(
      member(python, "python_version"),
      "flavors.python_function.python_version",
    ),
    libraryVersion:
      version === undefined
        ? ""
        : string(member(settings, version), `flavors.${native}.${version}`),
    entry: entry ?? "",
  }
  const format = names.includes("sklearn") ? "scikit-learn" : "mlflow"
  const given = member(model, "signature")
  if (given === undefined || given === null) return { format, details }
  const signature = object(given, "signature")
  const part = (name: "inputs" | "outputs" | "params") => {
    const value = member(signature, name)
    if (value === undefined || value === null) return {}
    if (typeof value !== "string") throw new Fault(`signature.${name}`, "is no JSON string")
    return { [name]: value }
  }
  const exit = Effect.runSyncExit(
    Effect.match(
      Signature.fromMlflow({ ...part("inputs"), ...part("outputs"), ...part("params") }),
      {
        onFailure: (error) => new Fault(`signature.${error.field ?? ""}`, error.message),
        onSuccess: (value) => value,
      },
    ),
  )
  if (!Exit.isSuccess(exit)) throw new Fault("signature", "cannot be read")
  if (exit.value instanceof Fault) throw exit.value
  return { format, details, signature: exit.value }
}

/** What an MLmodel says for a package's manifest. */
export interface Declared {
  readonly flavor: string
  /** Settings of every flavor. */
  readonly flavors: Readonly<Record<string, unknown>>
  /** Empty where no flavor names a file. */
  readonly entry: string
  readonly modelUuid: string
  readonly runId?: string
  readonly created: Timestamp.Timestamp
  readonly metadata?: unknown
}

const plain = (value: unknown): string => (typeof value === "string" ? value : "")

/** What the MLmodel of a directory says, which `read` has found readable. */
export const declared = async (directory: string): Promise<Declared> => {
  const model = await load(directory)
  const flavors = object(member(model, "flavors"), "flavors")
  const flavor = nativeOf(Object.keys(flavors)) ?? ""
  const settings = object(member(flavors, flavor) ?? {}, `flavors.${flavor}`)
  const python = object(member(flavors, "python_function") ?? {}, "flavors.python_function")
  const [entry = plain(member(python, "model_path"))] = entryKeys
    .map((key) => plain(member(settings, key)))
    .filter((name) => name !== "")
  const runId = plain(member(model, "run_id"))
  const metadata = member(model, "metadata")
  return {
    flavor,
    flavors,
    entry,
    modelUuid: plain(member(model, "model_uuid")),
    ...(runId === "" ? {} : { runId }),
    created: Timestamp.fromIso(plain(member(model, "utc_time_created")).trim()) ?? 0,
    ...(metadata === undefined || metadata === null ? {} : { metadata }),
  }
}
