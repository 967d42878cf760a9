import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { invalid, RegistryError } from "../RegistryError.ts"
import type { Stage } from "./migrations/0006-models.ts"
import * as Validate from "./mlflow/validate.ts"
import type { Store } from "./store.ts"

/** The tag that makes a model a prompt. */
export const promptTag = "mlflow.prompt.is_prompt"

/** Whether tags are a prompt's. */
export const isPrompt = (tags: Readonly<Record<string, string>>): boolean =>
  Object.hasOwn(tags, promptTag) && tags[promptTag]?.toLowerCase() === "true"

/** Whether a model is a prompt. */
export const isPromptModel = (
  { db, build }: Store,
  model: string,
): Effect.Effect<boolean, Database.DatabaseError> =>
  Effect.map(
    db.first(
      build
        .selectFrom("registry_model_tag")
        .select("value")
        .where("model", "=", model)
        .where("key", "=", promptTag),
    ),
    (tag) => tag?.value.toLowerCase() === "true",
  )

const limits = { name: 256, key: 250, value: 100_000, alias: 255 } as const
const most = 300

const check = (wrong: RegistryError | undefined): Effect.Effect<void, RegistryError> =>
  wrong === undefined ? Effect.void : Effect.fail(wrong)

/** Both databases keep such text as it is. */
const isText = (value: string): boolean => !value.includes("\0") && value.isWellFormed()

const notText = (field: string, value: string): Effect.Effect<never, RegistryError> =>
  Effect.fail(
    invalid(
      field,
      `Invalid value ${Validate.json(value.slice(0, most))} for parameter '${field}' supplied: a text has no NUL and no half of a surrogate pair`,
    ),
  )

/** Why a text is refused. */
export const text = (
  field: string,
  value: string | undefined,
  longest: number,
): Effect.Effect<void, RegistryError> =>
  value === undefined || isText(value)
    ? check(Validate.length(field, longest, value))
    : notText(field, value)

/** Most characters of a description. */
export const longestDescription = 100_000

/** Why the name of a model is refused: MLflow's rule, and at most 256 characters. */
export const name = (value: string, field = "name"): Effect.Effect<void, RegistryError> => {
  const shown = value.slice(0, most)
  if (value.trim() === "") {
    return Effect.fail(invalid(field, `Missing value for required parameter '${field}'.`))
  }
  if (/[/:]/.test(value)) {
    return Effect.fail(
      invalid(field, `Invalid model name '${shown}'. Names cannot contain '/' or ':'.`),
    )
  }
  if (!isText(value)) return notText(field, value)
  // Without '/', only these two mean something else as a path.
  if (Validate.isAmbiguous(value)) {
    return Effect.fail(
      invalid(
        field,
        `Invalid value ${Validate.json(shown)} for parameter 'name' supplied: Names may be treated as files in certain cases, and must not resolve to other names when treated as such. This name would resolve to ${Validate.shown(shown)}`,
      ),
    )
  }
  return check(Validate.length(field, limits.name, value))
}

/** Why an alias is refused, to set or to find. MLflow has none with dots. */
export const alias = (value: string, dots = true): Effect.Effect<void, RegistryError> => {
  const shown = value.slice(0, most)
  if (value === "") {
    return Effect.fail(invalid("alias", "Registered model alias name cannot be empty."))
  }
  if (!(dots ? /^[\p{L}\p{N}_.-]*$/u : /^[\p{L}\p{N}_-]*$/u).test(value)) {
    return Effect.fail(
      invalid(
        "alias",
        `Invalid alias name: '${shown}'. Names may only contain alphanumerics, underscores (_), and dashes (-).`,
      ),
    )
  }
  return value.length > limits.alias
    ? Effect.fail(
        invalid(
          "alias",
          `'Registered model alias name' exceeds the maximum length of ${limits.alias} characters`,
        ),
      )
    : Effect.void
}

/** Why an alias cannot be set: these names mean something already. */
export const freeAlias = (value: string, dots = true): Effect.Effect<void, RegistryError> => {
  if (value.toLowerCase() === "latest") {
    return Effect.fail(invalid("alias", "'latest' alias name (case insensitive) is reserved."))
  }
  return /^[vV]\d+$/.test(value)
    ? Effect.fail(invalid("alias", `Version alias name '${value.slice(0, most)}' is reserved.`))
    : alias(value, dots)
}

/** Why a tag of a model or of a version is refused. */
export const tag = (key: string, value: string): Effect.Effect<void, RegistryError> => {
  const wrong = Validate.key(key) ?? Validate.length("key", limits.key, key)
  if (wrong !== undefined) return Effect.fail(wrong)
  if (key === "mlflow.prompt.text" && value.length > limits.value) {
    return Effect.fail(
      invalid("value", `Prompt text exceeds max length of ${limits.value} characters.`),
    )
  }
  return text("value", value, limits.value)
}

/** Checks all tags. */
export const tags = (given: Readonly<Record<string, string>>): Effect.Effect<void, RegistryError> =>
  Effect.forEach(Object.entries(given), ([key, value]) => tag(key, value), { discard: true })

/** Stages of versions, as MLflow has them. */
export const stages: ReadonlyArray<Stage> = ["None", "Staging", "Production", "Archived"]

/** A stage, whatever the case of its letters. */
export const stage = (text: string): Effect.Effect<Stage, RegistryError> => {
  const found = stages.find((name) => name.toLowerCase() === text.toLowerCase())
  return found === undefined
    ? Effect.fail(
        invalid(
          "stage",
          `Invalid Model Version stage: ${text.slice(0, most)}. Value must be one of ${stages.join(", ")}.`,
        ),
      )
    : Effect.succeed(found)
}

/** There is no such model. */
export const missingModel = (model: string): RegistryError =>
  new RegistryError({
    reason: "NotFound",
    message: `Registered Model with name=${model.slice(0, most)} not found`,
  })

/** There is no such version. */
export const missingVersion = (model: string, version: number): RegistryError =>
  new RegistryError({
    reason: "NotFound",
    message: `Model Version (name=${model.slice(0, most)}, version=${version}) not found`,
  })
