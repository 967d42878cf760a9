/** XGBoost models as JSON or UBJSON. https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html */
import type { Signature } from "@ashlar/core"
import { list, member, object, optionalString, readObject, string, whole } from "./json.ts"
import { Fault, type Source } from "./source.ts"
import * as Ubjson from "./ubjson.ts"

/** What an XGBoost model says of itself. */
export interface XgboostDetails {
  readonly encoding: "json" | "ubj"
  readonly version: ReadonlyArray<number>
  readonly booster: string
  readonly objective: string
  readonly features: number
  readonly featureNames: ReadonlyArray<string>
  readonly featureTypes: ReadonlyArray<string>
  readonly classes: number
  readonly targets: number
}

/** Largest JSON model read; larger ones are saved as UBJSON, of which only the header is read. */
export const maxJson = 64 << 20

const names = (value: unknown, field: string): ReadonlyArray<string> =>
  value === undefined || value === null
    ? []
    : list(value, field, 1_000_000).map((item, i) => string(item, `${field}[${i}]`))

/** Output columns of `predict`: one value a row unless the objective gives one a class or target. */
const outputShape = (objective: string, classes: number, targets: number): Array<number> => {
  if (objective === "multi:softprob" && classes > 1) return [-1, classes]
  if (objective === "multi:softmax") return [-1]
  return targets > 1 ? [-1, targets] : [-1]
}

/** Reads the header of a model. */
export const read = async (
  source: Source,
  encoding: "json" | "ubj",
): Promise<{ readonly details: XgboostDetails; readonly signature?: Signature.Signature }> => {
  const model =
    encoding === "json"
      ? await readObject(source, "file", maxJson)
      : object(
          await Ubjson.read(
            source,
            (path) =>
              path.startsWith("learner.gradient_booster.model") ||
              path.startsWith("learner.gradient_booster.gbtree") ||
              path.startsWith("learner.gradient_booster.weight_drop") ||
              path.startsWith("learner.attributes"),
          ),
          "file",
        )
  const version = list(member(model, "version"), "version", 8).map((part) => whole(part, "version"))
  const learner = object(member(model, "learner"), "learner")
  const booster = object(member(learner, "gradient_booster"), "learner.gradient_booster")
  const param = object(member(learner, "learner_model_param"), "learner.learner_model_param")
  const objective = object(member(learner, "objective"), "learner.objective")
  const number = (key: string, low = 0) =>
    whole(member(param, key) ?? low, `learner.learner_model_param.${key}`, low)
  const details: XgboostDetails = {
    encoding,
    version,
    booster: string(member(booster, "name"), "learner.gradient_booster.name"),
    objective: optionalString(member(objective, "name"), "learner.objective.name") ?? "",
    features: number("num_feature"),
    featureNames: names(member(learner, "feature_names"), "learner.feature_names"),
    featureTypes: names(member(learner, "feature_types"), "learner.feature_types"),
    classes: number("num_class"),
    targets: number("num_target", 1),
  }
  const { features, featureNames, classes, targets } = details
  if (featureNames.length > 0 && featureNames.length !== features) {
    throw new Fault(
      "learner.feature_names",
      `has ${featureNames.length} names, learner_model_param.num_feature is ${features}`,
    )
  }
  const columns = featureNames.length > 0 && featureNames.every((name) => name !== "")
  return {
    details,
    signature: {
      inputs: [
        {
          name: "features",
          datatype: "FP32",
          shape: [-1, features],
          ...(columns ? { columns: featureNames } : {}),
        },
      ],
      outputs: [
        {
          name: "prediction",
          datatype: "FP32",
          shape: outputShape(details.objective, classes, targets),
        },
      ],
    },
  }
}
