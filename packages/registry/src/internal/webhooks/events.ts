import type { RegistryEvent } from "../notify.ts"

/** What a webhook can be told of. The last one is MLflow's and never happens here. */
export type EventType = RegistryEvent["type"] | "budget_policy.exceeded"

const model = { name: "example_model" }
const prompt = { name: "example_prompt" }
const version = { version: "1" }
const key = { key: "example_key" }
const tag = { ...key, value: "example_value" }
const alias = { alias: "example_alias" }
const tags = { example_key: "example_value" }

/** What the test of a webhook sends, which MLflow's sends too. */
export const examples: Readonly<Record<EventType, Readonly<Record<string, unknown>>>> = {
  "registered_model.created": { ...model, tags, description: "An example registered model" },
  "model_version.created": {
    ...model,
    ...version,
    source: "models:/123",
    run_id: "abcd1234abcd5678",
    tags,
    description: "An example model version",
  },
  "model_version_tag.set": { ...model, ...version, ...tag },
  "model_version_tag.deleted": { ...model, ...version, ...key },
  "model_version_alias.created": { ...model, ...alias, ...version },
  "model_version_alias.deleted": { ...model, ...alias },
  "prompt.created": { ...prompt, tags, description: "An example prompt" },
  "prompt_version.created": {
    ...prompt,
    ...version,
    template: "Hello {{name}}!",
    tags,
    description: "An example prompt version",
  },
  "prompt_tag.set": { ...prompt, ...tag },
  "prompt_tag.deleted": { ...prompt, ...key },
  "prompt_version_tag.set": { ...prompt, ...version, ...tag },
  "prompt_version_tag.deleted": { ...prompt, ...version, ...key },
  "prompt_alias.created": { ...prompt, ...alias, ...version },
  "prompt_alias.deleted": { ...prompt, ...alias },
  "budget_policy.exceeded": {
    budget_policy_id: "bp-abc123",
    budget_unit: "USD",
    budget_amount: 100,
    current_spend: 105.5,
    duration_unit: "MONTHS",
    duration_value: 1,
    target_scope: "ENDPOINT",
    workspace: "default",
    target_value: "ep-abc123",
    window_start: 1_704_067_200_000,
  },
}

/** Whether a text is an event that webhooks can be told of. */
export const isEventType = (text: string): text is EventType => Object.hasOwn(examples, text)

/** All events. */
export const eventTypes: ReadonlyArray<EventType> = Object.keys(examples).filter(isEventType)

/** What is sent, before it is signed: MLflow's envelope. */
export const bodyOf = (event: EventType, data: unknown, time: string): string => {
  const [entity, action] = event.split(".")
  return JSON.stringify({ entity, action, timestamp: time, data })
}
