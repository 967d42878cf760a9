/** Copies registered models, once the runs and logged models they came from are copied. */
import * as Effect from "effect/Effect"
import { RegistryError } from "../../RegistryError.ts"
import type { Copies, Failure, Work } from "./copy.ts"
import type { ModelRecord, Origin, VersionRecord } from "./records.ts"

/** A store with more holes in its numbers was made by something else. */
const mostHoles = 10_000

const below = (uri: string, path: string): string => (path === "" ? uri : `${uri}/${path}`)

/** Where the copy of a version's files is. */
const sourceOf = (origin: Origin, copies: Copies) => {
  if (origin.kind === "elsewhere") return { source: origin.uri }
  const copy = (origin.kind === "run" ? copies.runs : copies.loggedModels).get(origin.id)
  if (copy === undefined) return undefined
  return {
    source: below(copy.artifactUri, origin.path),
    ...(origin.kind === "loggedModel" ? { modelId: copy.id } : {}),
  }
}

const note = (work: Work, kind: Failure["kind"], id: string) => (error: RegistryError) => {
  if (error.reason === "Unavailable") return Effect.fail(error)
  work.tally.failures.push({ kind, id, why: error.message })
  return Effect.void
}

const copyVersion = Effect.fnUntraced(function* (
  work: Work,
  name: string,
  record: VersionRecord,
  copies: Copies,
  next: number,
) {
  const { target } = work
  const found = sourceOf(record.origin, copies)
  if (found === undefined) {
    return yield* new RegistryError({
      reason: "NotFound",
      message: "the run or logged model that its files belong to was not copied",
    })
  }
  if (record.version - next > mostHoles) {
    return yield* new RegistryError({
      reason: "InvalidInput",
      message: `there are more than ${mostHoles} numbers without a version before it`,
    })
  }
  const runId = record.runId === undefined ? undefined : copies.runs.get(record.runId)?.id
  const origin = { name, ...found, ...(runId === undefined ? {} : { runId }) }
  // A number once given is never given again: versions that were deleted leave theirs empty.
  for (let number = next; number < record.version; number++) {
    const made = yield* target.createVersion({ ...origin, description: "", tags: {} })
    yield* target.removeVersion(name, made)
  }
  const { description, tags } = record
  const made = yield* target.createVersion({ ...origin, description, tags })
  if (made !== record.version) {
    return yield* new RegistryError({
      reason: "Conflict",
      message: `it became version ${made}: somebody else registered one meanwhile`,
    })
  }
  if (record.stage !== "None" && record.stage !== "") {
    yield* Effect.catch(
      target.stage(name, made, record.stage),
      note(work, "stage", `${name}/${made}`),
    )
  }
})

/** Copies one model with its versions and aliases. */
export const copyModel = Effect.fnUntraced(function* (
  work: Work,
  model: ModelRecord,
  copies: Copies,
  /** The model of that name in the target; undefined while there is none. */
  before: ModelRecord | undefined,
) {
  const { source, target, back, tally } = work
  tally.models.found++
  if (before === undefined) {
    yield* target.model(model)
    tally.models.copied++
  } else {
    tally.models.skipped++
  }
  const there = new Set(
    before === undefined ? [] : (yield* back.versions(model.name)).map(({ version }) => version),
  )
  let next = Math.max(0, ...there) + 1
  const versions = (yield* source.versions(model.name)).toSorted((a, b) => a.version - b.version)
  for (const version of versions) {
    tally.versions.found++
    if (there.has(version.version)) {
      tally.versions.skipped++
      continue
    }
    const id = `${model.name}/${version.version}`
    if (version.version < next) {
      tally.failures.push({
        kind: "version",
        id,
        why: `the target has later versions of ${model.name}: rename one of the models`,
      })
      continue
    }
    yield* Effect.catch(
      Effect.map(copyVersion(work, model.name, version, copies, next), () => {
        tally.versions.copied++
        there.add(version.version)
        next = version.version + 1
      }),
      note(work, "version", id),
    )
  }
  for (const [alias, version] of Object.entries(model.aliases)) {
    tally.aliases.found++
    if (before?.aliases[alias] === version) {
      tally.aliases.skipped++
      continue
    }
    const id = `${model.name}@${alias}`
    if (!there.has(version)) {
      tally.failures.push({ kind: "alias", id, why: `version ${version} was not copied` })
      continue
    }
    yield* Effect.catch(
      Effect.map(target.alias(model.name, alias, version), () => {
        tally.aliases.copied++
      }),
      note(work, "alias", id),
    )
  }
})
