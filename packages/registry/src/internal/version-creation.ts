import { type BlobStore, type Database, Digest, Id, type ModelPackage } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { invalid, notFound, RegistryError } from "../RegistryError.ts"
import type { VersionRow } from "./migrations/0006-models.ts"
import * as Rules from "./model-rules.ts"
import * as Uri from "./model-uri.ts"
import * as Recognition from "./recognition.ts"
import { tagLogged } from "./registrations.ts"
import type { Store } from "./store.ts"
import * as StoredFiles from "./stored-files.ts"
import type { Draft } from "./version-insert.ts"
import type { Versions } from "./versions.ts"

type Failure = Database.DatabaseError | BlobStore.BlobStoreError | RegistryError

/** A version to make from files that are somewhere already. */
export interface CreateVersion {
  readonly name: string
  /**
   * `runs:/<run>/<path>`, `models:/<logged model>`, `models:/<name>/<version>`, `mlflow-artifacts:/...`,
   * or a URI of another store, whose files stay there.
   */
  readonly source: string
  /** The run that the files belong to. */
  readonly runId?: string
  /** The model, logged by a run, that the files belong to. */
  readonly loggedModelId?: string
  readonly runLink?: string
  readonly description?: string
  readonly tags?: Readonly<Record<string, string>>
}

/** A source that was understood: what it is said to be, and where its files are. */
interface Resolved {
  readonly source: string
  readonly storage: string
  readonly run: string | undefined
  readonly loggedModel: string | undefined
}

const limits = { source: 2048, id: 256 } as const

/** Makes versions in a store. */
export const make = (
  store: Store,
  versions: Versions,
  insert: (draft: Draft) => Effect.Effect<VersionRow, Database.DatabaseError | RegistryError>,
): ((request: CreateVersion) => Effect.Effect<VersionRow, Failure>) => {
  const { db, build } = store
  const stored = StoredFiles.make(store)
  const recognise = Recognition.make(stored)

  const runRoot = (id: string) =>
    Effect.map(
      db.first(
        build
          .selectFrom("registry_run")
          .select(["id", "experiment", "artifact_uri"])
          .where("id", "=", id),
      ),
      (run) =>
        run === undefined
          ? undefined
          : (run.artifact_uri ?? `mlflow-artifacts:/${run.experiment}/${run.id}/artifacts`),
    )

  const logged = (id: string) =>
    db.first(
      build
        .selectFrom("registry_logged_model")
        .select(["id", "artifact_uri", "source_run"])
        .where("id", "=", id)
        .where("deleted", "is", null),
    )

  /** The version that a `models:/` URI means. */
  const versionOf = Effect.fnUntraced(function* (
    uri: Exclude<Uri.ModelUri, { readonly kind: "logged" }>,
    source: string,
  ) {
    const { name } = uri
    yield* Rules.name(name)
    const tags = yield* db.all(
      build
        .selectFrom("registry_model")
        .leftJoin("registry_model_tag", (on) =>
          on
            .onRef("registry_model_tag.model", "=", "registry_model.name")
            .on("registry_model_tag.key", "=", Rules.promptTag),
        )
        .select("registry_model_tag.value")
        .where("registry_model.name", "=", name),
    )
    const [tag] = tags
    if (tag === undefined) return yield* Rules.missingModel(name)
    if (tag.value?.toLowerCase() === "true") return yield* Uri.promptSource(source)
    if (uri.kind === "version") return yield* versions.row({ name, version: uri.version })
    if (uri.kind === "alias") return yield* versions.row({ name, alias: uri.alias })
    const rows = yield* versions.rows(name)
    const stage = uri.kind === "stage" ? yield* Rules.stage(uri.stage) : undefined
    const found = rows.find((row) => stage === undefined || row.stage === stage)
    const and = stage === undefined ? "" : ` and stage '${stage}'`
    return found ?? (yield* notFound(`No versions of model with name '${name}'${and} found: one`))
  })

  /** Another version as the source: its files, and what it came from. */
  const fromVersion = Effect.fnUntraced(function* (
    uri: Exclude<Uri.ModelUri, { readonly kind: "logged" }>,
    request: CreateVersion,
  ) {
    const { source, runId, loggedModelId } = request
    const row = yield* versionOf(uri, source)
    if (
      (runId !== undefined && runId !== (row.run ?? "")) ||
      (loggedModelId !== undefined && loggedModelId !== (row.logged_model ?? ""))
    ) {
      return yield* Uri.contradicted(source)
    }
    return {
      source: `models:/${row.model}/${row.version}`,
      storage: row.storage,
      run: row.run ?? undefined,
      loggedModel: row.logged_model ?? undefined,
      row,
    }
  })

  /** A source must belong to what the request names, so that nobody registers what is not theirs. */
  const contained = Effect.fnUntraced(function* (
    request: CreateVersion,
    source: string,
  ): Effect.fn.Return<Resolved, Failure> {
    const { runId = "", loggedModelId = "" } = request
    const parameter = loggedModelId === "" ? "run_id" : "model_id"
    const model = loggedModelId === "" ? undefined : yield* logged(loggedModelId)
    const root =
      loggedModelId === ""
        ? runId === ""
          ? undefined
          : yield* runRoot(runId)
        : model?.artifact_uri
    const named = loggedModelId === "" ? runId : loggedModelId
    const refused = Uri.notContained(source, parameter)
    const base = {
      source,
      run: runId === "" ? (model?.source_run ?? undefined) : runId,
      loggedModel: loggedModelId === "" ? undefined : loggedModelId,
    }
    if (Uri.isLocal(source)) {
      if (named !== "" && root === undefined) return yield* refused
      const wrong = Uri.wrongLocal(source, parameter, root)
      return wrong === undefined ? { ...base, storage: source } : yield* wrong
    }
    const wrong = Uri.wrongPath(source)
    if (wrong !== undefined) return yield* wrong
    const { scheme, host } = Uri.split(source)
    if (scheme === "runs") {
      const from = Uri.run(source)
      if (host !== "" || from === undefined || loggedModelId !== "" || from.id !== runId) {
        return yield* refused
      }
      return { ...base, storage: source }
    }
    if (scheme === "models") {
      if (host !== "" || loggedModelId === "" || source !== `models:/${loggedModelId}`) {
        return yield* Uri.notContained(source, "model_id")
      }
      if (model === undefined) return yield* refused
      return { ...base, storage: model.artifact_uri }
    }
    if (scheme === "mlflow-artifacts" && (root === undefined || !Uri.isWithin(source, root))) {
      return yield* refused
    }
    if (loggedModelId !== "" && model === undefined) {
      return yield* new RegistryError({
        reason: "NotFound",
        field: "model_id",
        message: `Logged model with ID '${loggedModelId.slice(0, 300)}' not found.`,
      })
    }
    return { ...base, storage: source }
  })

  /** The files of a place of this registry; undefined of any other place. */
  const filesOf = Effect.fnUntraced(function* (storage: string) {
    const run = Uri.run(storage)
    const root = run === undefined ? undefined : yield* runRoot(run.id)
    const uri = run === undefined ? storage : `${root ?? ""}/${run.path}`
    const path = Uri.proxied(uri)
    return path === undefined || path === ""
      ? undefined
      : yield* stored.at(path.replace(/\/+$/, ""))
  })

  /** Pins the files as they are now, and looks what they are. */
  const pinned = Effect.fnUntraced(function* (storage: string) {
    const files: ReadonlyArray<ModelPackage.PackageFile> | undefined = yield* filesOf(storage)
    const digest = (value: unknown) => Digest.ofJson(value)
    if (files === undefined) {
      const fault = `its files are at ${storage.slice(0, 300)}, outside of this registry`
      return { files: [], digest: digest({ storage }), fault }
    }
    if (files.length === 0) {
      const fault = `there were no files at ${storage.slice(0, 300)} when it was registered: log them and register again`
      return { files, digest: digest({ storage }), fault }
    }
    const found = yield* recognise(files)
    const pairs = files.map((file) => [file.path, file.digest])
    return { ...found, files, digest: found.manifest?.digest ?? digest(pairs) }
  })

  return Effect.fnUntraced(function* (request) {
    const { name, source, tags = {}, description = "" } = request
    yield* Rules.name(name)
    yield* Rules.tags(tags)
    if (source === "" || source.length > limits.source) {
      return yield* invalid("source", `'source' has 1 to ${limits.source} characters`)
    }
    yield* Rules.text("source", source, limits.source)
    yield* Rules.text("description", description, Rules.longestDescription)
    yield* Rules.text("run_id", request.runId, limits.id)
    yield* Rules.text("model_id", request.loggedModelId, limits.id)
    yield* Rules.text("run_link", request.runLink, limits.source)
    const draft = {
      name,
      key: `source:${Id.make()}`,
      creates: false,
      description,
      runLink: request.runLink || null,
      tags,
    } as const
    if (Rules.isPrompt(tags)) {
      const wrong = Uri.wrongPromptSource(source)
      if (wrong !== undefined) return yield* wrong
      return yield* db.transaction(
        insert({
          ...draft,
          run: request.runId || null,
          digest: Digest.ofJson(tags),
          manifest: undefined,
          files: [],
          source,
          storage: source,
          loggedModel: null,
          format: undefined,
          fault: "it is a prompt, and no model",
        }),
      )
    }
    const wrong = Uri.wrongScheme(source)
    if (wrong !== undefined) return yield* wrong
    const uri = Uri.split(source).scheme === "models" ? Uri.model(source) : undefined
    if (Uri.split(source).scheme === "models") {
      if (Uri.split(source).host !== "") return yield* Uri.foreignRegistry(source)
      if (uri === undefined) return yield* Uri.notContained(source, "model_id")
    }
    const from =
      uri === undefined || uri.kind === "logged" ? undefined : yield* fromVersion(uri, request)
    const resolved: Resolved = from ?? (yield* contained(request, source))
    const { run = null, loggedModel, storage } = resolved
    const content =
      from === undefined
        ? yield* pinned(storage)
        : {
            // What was pinned once stays what it was.
            files: JSON.parse(from.row.files),
            digest: from.row.digest,
            manifest: from.row.manifest === null ? undefined : JSON.parse(from.row.manifest),
            format: from.row.format ?? undefined,
            fault: from.row.fault ?? undefined,
          }
    return yield* db.transaction(
      Effect.gen(function* () {
        const row = yield* insert({
          ...draft,
          run,
          digest: content.digest,
          manifest: "manifest" in content ? content.manifest : undefined,
          files: content.files,
          source: resolved.source,
          storage,
          loggedModel: loggedModel ?? null,
          format: "format" in content ? content.format : undefined,
          fault: content.fault,
        })
        if (loggedModel !== undefined) yield* tagLogged(store, loggedModel, row)
        return row
      }),
    )
  })
}
