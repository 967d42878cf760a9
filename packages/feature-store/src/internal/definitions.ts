/** Definitions in force, and how they change. */
import { type Database, Digest, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { Entity } from "../Entity.ts"
import type { FeatureService, View } from "../FeatureService.ts"
import { FeatureStoreError } from "../FeatureStoreError.ts"
import type { FeatureView } from "../FeatureView.ts"
import type { RequestView } from "../RequestView.ts"
import type { Source } from "../Source.ts"
import type { Description } from "./define.ts"
import { fromCause, invalid, notFound } from "./failures.ts"
import type { Tables } from "./migrations.ts"

/** Anything that can be applied; what it refers to is applied with it. */
export type Definition = FeatureService | FeatureView | RequestView | Source | Entity

/** What applying would do to one definition. */
export interface Change {
  readonly kind: Definition["kind"]
  readonly name: string
  readonly version: number
  /** `breaking` changes are refused: give the definition a new version. */
  readonly change: "create" | "unchanged" | "update" | "breaking"
  /** What differs, in words. */
  readonly details: ReadonlyArray<string>
}

interface Stored {
  readonly kind: Definition["kind"]
  readonly name: string
  readonly version: number
  readonly digest: string
  readonly description: Description
}

const storedOf = (definition: Definition): Stored => {
  const { kind, name } = definition
  if (kind === "source" || kind === "entity") {
    const fixed =
      kind === "source"
        ? { timestamp: definition.timestamp, created: definition.created ?? null }
        : { joinKeys: Object.entries(definition.joinKeys) }
    const description = { fixed, parts: {} }
    return { kind, name, version: 1, digest: Digest.ofJson({ name, ...description }), description }
  }
  const { description, digest, version } = definition
  return { kind, name, version, digest, description }
}

/** The definitions and all they refer to, each once. */
const expand = (definitions: ReadonlyArray<Definition>): ReadonlyArray<Definition> => {
  const found = new Map<string, Definition>()
  const visit = (definition: Definition): void => {
    const { version, digest } = storedOf(definition)
    const id = `${definition.kind} '${definition.name}' version ${version}`
    const other = found.get(id)
    if (other !== undefined && storedOf(other).digest !== digest) {
      throw invalid("definitions", `${id} is defined twice, differently; keep one of them`)
    }
    if (definition.kind === "service") definition.views.forEach(visit)
    if (definition.kind === "view") {
      visit(definition.entity)
      visit(definition.source)
    }
    found.set(id, definition)
  }
  definitions.forEach(visit)
  return [...found.values()]
}

const compare = (old: Stored, next: Stored): Change => {
  const { kind, name, version } = next
  if (old.digest === next.digest) return { kind, name, version, change: "unchanged", details: [] }
  const breaking: Array<string> = []
  const same = (a: unknown, b: unknown) => Digest.canonicalJson(a) === Digest.canonicalJson(b)
  if (!same(old.description.fixed, next.description.fixed)) {
    breaking.push(
      `${Digest.canonicalJson(old.description.fixed)} became ${Digest.canonicalJson(next.description.fixed)}`,
    )
  }
  for (const [part, value] of Object.entries(old.description.parts)) {
    const now = next.description.parts[part]
    if (now === undefined) breaking.push(`'${part}' was removed`)
    else if (!same(value, now)) breaking.push(`'${part}' changed its meaning`)
  }
  if (breaking.length > 0) return { kind, name, version, change: "breaking", details: breaking }
  const added = Object.keys(next.description.parts).filter(
    (part) => !Object.hasOwn(old.description.parts, part),
  )
  const details =
    added.length > 0 ? added.map((part) => `'${part}' was added`) : ["order or precision"]
  return { kind, name, version, change: "update", details }
}

/** The definitions that a process has applied. */
export interface Definitions {
  readonly plan: (
    definitions: ReadonlyArray<Definition>,
  ) => Effect.Effect<ReadonlyArray<Change>, FeatureStoreError>
  readonly apply: (
    definitions: ReadonlyArray<Definition>,
  ) => Effect.Effect<ReadonlyArray<Change>, FeatureStoreError>
  readonly service: (name: string) => Effect.Effect<FeatureService, FeatureStoreError>
  readonly view: (name: string) => Effect.Effect<FeatureView, FeatureStoreError>
  readonly source: (name: string) => Effect.Effect<Source, FeatureStoreError>
  /** Views with a source, in all versions applied: services may still be using each. */
  readonly views: () => ReadonlyArray<FeatureView>
  /** Of each name, the view applied last. */
  readonly allViews: () => ReadonlyArray<View>
}

const named = <A>(what: string, all: ReadonlyMap<string, A>, name: string) => {
  const found = all.get(name)
  if (found !== undefined) return Effect.succeed(found)
  const known = [...all.keys()].map((each) => `'${each}'`).join(", ")
  return Effect.fail(
    notFound(
      what,
      `no ${what} '${name}' was applied in this process; apply it first (there is ${known || "none"})`,
    ),
  )
}

/** Definitions kept in the Database. */
export const make = (db: Database.Database["Service"]): Definitions => {
  const services = new Map<string, FeatureService>()
  const views = new Map<string, FeatureView>()
  const versions = new Map<string, FeatureView>()
  const requests = new Map<string, RequestView>()
  const sources = new Map<string, Source>()
  const build = db.build<Tables>()

  const changes = Effect.fnUntraced(function* (all: ReadonlyArray<Stored>) {
    const out: Array<Change> = []
    for (const next of all) {
      const { kind, name, version } = next
      const row = yield* db.first(
        build
          .selectFrom("feature_definition")
          .select(["digest", "body"])
          .where("kind", "=", kind)
          .where("name", "=", name)
          .where("version", "=", version),
      )
      if (row === undefined) out.push({ kind, name, version, change: "create", details: [] })
      else {
        const description = JSON.parse(row.body) as Description
        out.push(compare({ kind, name, version, digest: row.digest, description }, next))
      }
    }
    return out
  })

  const expanded = (definitions: ReadonlyArray<Definition>) =>
    Effect.try({ try: () => expand(definitions), catch: fromCause })

  const plan: Definitions["plan"] = (definitions) =>
    expanded(definitions).pipe(
      Effect.flatMap((all) => changes(all.map(storedOf))),
      Effect.mapError(fromCause),
    )

  const apply: Definitions["apply"] = Effect.fnUntraced(function* (definitions) {
    const all = yield* expanded(definitions)
    const stored = all.map(storedOf)
    const planned = yield* db.transaction(
      Effect.gen(function* () {
        const planned = yield* changes(stored)
        const breaking = planned.find(({ change }) => change === "breaking")
        if (breaking !== undefined) {
          const { details, kind, name, version } = breaking
          const help =
            kind === "source" || kind === "entity"
              ? "use another name"
              : `give it version ${version + 1}`
          return yield* new FeatureStoreError({
            reason: "Conflict",
            field: name,
            message: `${kind} '${name}' version ${version} exists and this change would break its users (${details.join("; ")}); ${help}`,
          })
        }
        for (const [i, { change }] of planned.entries()) {
          const { description, digest, kind, name, version } = stored[i] as Stored
          if (change === "unchanged") continue
          const body = JSON.stringify(description)
          const row = { kind, name, version, digest, body, applied: Timestamp.now() }
          yield* db.run(
            build
              .insertInto("feature_definition")
              .values(row)
              .onConflict((conflict) =>
                conflict.columns(["kind", "name", "version"]).doUpdateSet({ digest, body }),
              ),
          )
        }
        return planned
      }),
    )
    for (const definition of all) {
      if (definition.kind === "service") services.set(definition.name, definition)
      else if (definition.kind === "view") {
        views.set(definition.name, definition)
        versions.set(`${definition.name}@${definition.version}`, definition)
      } else if (definition.kind === "request") requests.set(definition.name, definition)
      else if (definition.kind === "source") sources.set(definition.name, definition)
    }
    return planned
  }, Effect.mapError(fromCause))

  return {
    plan,
    apply,
    service: (name) => named("service", services, name),
    view: (name) => named("view", views, name),
    source: (name) => named("source", sources, name),
    views: () => [...versions.values()],
    allViews: () => [...views.values(), ...requests.values()],
  }
}
