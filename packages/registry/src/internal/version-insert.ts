import { type Database, Digest, type ModelPackage, Name, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Audit from "../Audit.ts"
import type { RegistryError } from "../RegistryError.ts"
import * as Tree from "./artifacts/tree.ts"
import type { VersionRow } from "./migrations/0006-models.ts"
import * as Rules from "./model-rules.ts"
import { notify } from "./notify.ts"
import type { Store } from "./store.ts"

type Failure = Database.DatabaseError | RegistryError

/** A version to add. */
export interface Draft {
  readonly name: string
  /** The same key adds one version. */
  readonly key: string
  /** Makes the model when there is none. */
  readonly creates: boolean
  readonly run: string | null
  readonly digest: string
  readonly manifest: ModelPackage.Manifest | undefined
  readonly files: ReadonlyArray<ModelPackage.PackageFile>
  readonly description: string | null
  /** As it was given; by default the place of the version in this registry. */
  readonly source: string | undefined
  readonly storage: string | undefined
  readonly runLink: string | null
  readonly loggedModel: string | null
  readonly format: string | undefined
  readonly fault: string | undefined
  readonly tags: Readonly<Record<string, string>>
}

const templateTag = "mlflow.prompt.text"
const hidden = [Rules.promptTag, templateTag, "_mlflow_prompt_type"]

/** The tags that webhooks tell of a prompt. */
export const shownTags = (tags: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(tags).filter(([key]) => !hidden.includes(key)))

/** Where in the tree of files the files of a version are that came with it. */
const placeOf = (name: string, version: number): string => {
  const folder = Name.pattern.test(name) ? name : Digest.ofJson(name).slice("sha256:".length)
  return `registered-models/${folder}/${version}`
}

/** Adds versions; inside a transaction. */
export const make = (
  store: Store,
  byKey: (
    name: string,
    key: string,
  ) => Effect.Effect<VersionRow | undefined, Database.DatabaseError>,
): ((draft: Draft) => Effect.Effect<VersionRow, Failure>) => {
  const { db, build, contents } = store
  const tree = Tree.make(store)

  const told = (draft: Draft, { version, source }: VersionRow) => {
    const { name, tags } = draft
    const about = { name, version: String(version), description: draft.description || null }
    return Rules.isPrompt(tags)
      ? notify(store, {
          type: "prompt_version.created",
          payload: { ...about, template: tags[templateTag] ?? null, tags: shownTags(tags) },
        })
      : notify(store, {
          type: "model_version.created",
          payload: { ...about, source, run_id: draft.run || null, tags },
        })
  }

  return Effect.fnUntraced(function* (draft) {
    const { name, key } = draft
    const now = Timestamp.now()
    if (draft.creates) {
      const made = yield* db.run(
        build
          .insertInto("registry_model")
          .values({ name, created: now, updated: now, description: "" })
          .onConflict((c) => c.column("name").doNothing()),
      )
      if (made.rows === 1) {
        const payload = { name, tags: {}, description: "" }
        yield* notify(store, { type: "registered_model.created", payload })
      }
    }
    // Touching the model's row makes concurrent registrations of one model queue up.
    const touched = yield* db.run(
      build.updateTable("registry_model").set({ updated: now }).where("name", "=", name),
    )
    if (touched.rows === 0) return yield* Rules.missingModel(name)
    const known = yield* byKey(name, key)
    if (known !== undefined) return known
    const newest = yield* db.first(
      build
        .selectFrom("registry_version")
        .select((select) => select.fn.max("version").as("version"))
        .where("model", "=", name),
    )
    yield* contents.hold(draft.files.map(({ digest }) => digest))
    const version = (newest?.version ?? 0) + 1
    const place = placeOf(name, version)
    const row: VersionRow = {
      model: name,
      version,
      key,
      run: draft.run,
      digest: draft.digest,
      manifest: draft.manifest === undefined ? null : JSON.stringify(draft.manifest),
      files: JSON.stringify(draft.files),
      description: draft.description,
      source: draft.source ?? `mlflow-artifacts:/${place}`,
      storage: draft.storage ?? `mlflow-artifacts:/${place}`,
      run_link: draft.runLink,
      logged_model: draft.loggedModel,
      stage: "None",
      format: draft.format ?? null,
      fault: draft.fault ?? null,
      created: now,
      updated: now,
      deleted: null,
    }
    yield* db.run(build.insertInto("registry_version").values(row))
    if (draft.storage === undefined) {
      // So that MLflow's clients find the files where they find those of runs.
      yield* tree.remove(place)
      for (const { path, digest, size } of draft.files) {
        yield* tree.set(`${place}/${path}`, { digest, size })
      }
    }
    yield* db.insertMany(
      "registry_version_tag",
      Object.entries(draft.tags).map(([tag, value]) => ({ model: name, version, key: tag, value })),
    )
    yield* Audit.append(store, {
      action: "model.registered",
      subject: name,
      detail: { version, digest: row.digest, run: row.run },
    })
    yield* told(draft, row)
    return row
  })
}
