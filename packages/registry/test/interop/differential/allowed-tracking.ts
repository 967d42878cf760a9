import { isDeepStrictEqual } from "node:util"
import type { Allowed } from "./allowlist.ts"
import type { Normal } from "./normalize.ts"

const all = ["status", "code", "message", "body"] as const

const isRefusal = ({ status, code }: Normal): boolean =>
  status >= 400 && status < 500 && code !== undefined

const isPage = ({ body }: Normal): boolean =>
  typeof body === "string" && body.startsWith("<!doctype html>")

/** Nothing else differs than the start. */
const startedAtZero = (theirs: Normal, ours: Normal): boolean => {
  const text = JSON.stringify(theirs.body)
  const started = text.replace('"start_time":0,', '"start_time":"<now>",')
  return started !== text && isDeepStrictEqual(JSON.parse(started), ours.body)
}

/** Experiments, runs, inputs, logged models and the transport: differences that are meant. */
export const tracking: ReadonlyArray<Allowed> = [
  {
    cases: "experiments/rename to taken",
    aspects: ["code", "message"],
    reason: "MLflow's code is that of any SQL error; ours says that the name is taken.",
  },
  {
    cases:
      /^(experiments\/search with bad (order|filter)|logged-models\/by (unknown attribute|broken filter))$/,
    aspects: ["message"],
    when: (theirs, ours) => isRefusal(theirs) && isRefusal(ours),
    reason: "Both refuse; ours says at which character and lists what it understands.",
  },
  {
    cases:
      /^(experiments\/search with bad view|runs\/update with bad status|logged-models\/bad status)$/,
    aspects: all,
    when: (theirs, ours) => theirs.status === 200 && isRefusal(ours),
    reason: "MLflow takes a word it does not know for none; ours refuses it and names it.",
  },
  {
    cases: /^(experiments\/search with|logged-models\/) ?(bad token|page of other search)$/,
    aspects: ["message"],
    reason:
      "A page token is opaque here: it holds the last row's place and a digest of the search, so that ours says less of a foreign one.",
  },
  {
    cases:
      /^(experiments\/(datasets of none|datasets of empty|legacy list)|inputs\/summaries( of 21)?|transport\/(ajax )?preview)$/,
    aspects: all,
    when: (theirs) => theirs.status === 404 && isPage(theirs),
    reason:
      "MLflow 3 has this path under /ajax-api alone, or no more; older clients ask it, and ours answers.",
  },
  {
    cases: "transport/server info by post",
    aspects: ["status", "body"],
    reason: "The next version of MLflow answers a POST too.",
  },
  {
    cases: /^transport\/(ajax )?server info$/,
    aspects: ["body"],
    reason:
      "Ours takes uploads in parts on every store, which MLflow's does on none that is a directory; and it has no gateway.",
  },
  {
    cases: /^(transport|inputs)\//,
    aspects: all,
    when: (theirs, ours) =>
      [308, 404, 405].includes(theirs.status) &&
      isPage(theirs) &&
      ours.status === 404 &&
      ours.code === "ENDPOINT_NOT_FOUND",
    reason:
      "MLflow answers with a page of HTML; ours with the error that its clients know, whether path or method is unknown.",
  },
  {
    cases: "transport/graphql",
    aspects: all,
    reason: "Only the pages of MLflow's own server use GraphQL.",
  },
  {
    cases: /^(runs|validation)\/(create|run) /,
    aspects: ["body"],
    when: startedAtZero,
    reason: "A run without a start begins now, not in 1970.",
  },
  {
    cases: /^(runs\/create with number as experiment|transport\/tag with id as number)$/,
    aspects: all,
    reason: "Some clients send ids of experiments as numbers; ours takes them.",
  },
  {
    cases: /^(runs\/create without experiment|bad-input\/(empty body|null))$/,
    aspects: all,
    when: ({ message = "" }, ours) => /FOREIGN KEY/.test(message) && ours.status === 200,
    reason: "Without an experiment a run goes to the experiment 0, as MLflow's documentation says.",
  },
  {
    cases: /^bad-input\/(broken JSON|no JSON|a list|not UTF-8)$/,
    aspects: ["code", "message"],
    reason: "MLflow reads this as {} and complains about what is missing; ours says what is wrong.",
  },
  {
    cases:
      /^(runs\/create with (tag without key|number as tag)|inputs\/(dataset without (name|digest)|entry without dataset|tag without key|model without id)|logged-models\/tag without key)$/,
    aspects: all,
    when: (theirs, ours) => theirs.status === 200 && isRefusal(ours),
    reason: "MLflow records an empty name in place of what is missing or of the wrong type.",
  },
  {
    cases: "validation/run with long tag",
    aspects: all,
    when: (theirs, ours) => theirs.status === 200 && isRefusal(ours),
    reason: "MLflow checks tags everywhere but where a run is created.",
  },
  {
    cases: /^bad-input\/(NaN|Infinity) literal$/,
    aspects: all,
    when: (theirs, ours) => theirs.status === 200 && isRefusal(ours),
    reason: "This is no JSON. MLflow's clients send the texts NaN and Infinity, which ours takes.",
  },
  {
    cases: /^bad-input\/((too )?big integer|history of big steps)$/,
    aspects: all,
    reason: "Steps are whole numbers within 2^53; ours refuses others instead of rounding them.",
  },
  {
    cases: "bad-input/null list",
    aspects: ["status", "body"],
    reason: "A field that is null is not there; MLflow's server stumbles over it.",
  },
  {
    cases: /^bad-input\/(prototype|deep nesting)$/,
    aspects: all,
    when: (theirs, ours) => theirs.status === 200 && isRefusal(ours),
    reason:
      "Nothing in earnest has such keys or nests so deep, and both are ways to attack servers.",
  },
  {
    cases: "bad-input/two values for one field",
    aspects: all,
    reason: "MLflow takes the first of two values; ours refuses both.",
  },
  {
    cases: /^validation\/experiment id with (letters|slash)$/,
    aspects: ["status", "code", "message"],
    reason: "Ids of experiments are texts here, so that this one is unknown, not malformed.",
  },
  {
    cases: "inputs/output without step",
    aspects: all,
    when: ({ message = "" }, ours) => /UNIQUE/.test(message) && ours.status === 200,
    reason:
      "To say twice that a run wrote a model is no error, so that a client may repeat itself.",
  },
  {
    cases: /^logged-models\/(ready|params) by path alone$/,
    aspects: all,
    when: (theirs, ours) => isRefusal(theirs) && ours.status === 200,
    reason: "MLflow wants the model's id in the path and in the body; the path is enough here.",
  },
  {
    cases: "logged-models/changed params",
    aspects: ["code", "message"],
    when: ({ message = "" }) => /UNIQUE/.test(message),
    reason: "MLflow answers with its SQL; ours says which parameter has another value.",
  },
  {
    cases: "logged-models/metric of another with dataset",
    aspects: all,
    when: ({ message = "" }, ours) => /UNIQUE/.test(message) && ours.status === 200,
    reason:
      "MLflow keeps one value of a metric a step, whatever it was measured on; ours keeps one for each dataset.",
  },
  {
    cases: "logged-models/by status of none",
    aspects: ["body"],
    reason: "MLflow compares the word with a number and never finds anything.",
  },
  {
    cases: "logged-models/ordered without field",
    aspects: ["message"],
    reason: "Ours says which field is missing.",
  },
]
