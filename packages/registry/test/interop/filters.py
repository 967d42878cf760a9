"""Prints what MLflow's own parsers make of filters: one JSON list on standard output.

Reads a JSON list of [entity, filter] from standard input. A filter is accepted when it parses and
every clause passes the check that MLflow makes before it compares.
"""

import json
import sys

from mlflow.utils.search_utils import (
    SearchExperimentsUtils,
    SearchLoggedModelsUtils,
    SearchModelUtils,
    SearchModelVersionUtils,
    SearchUtils,
)

PARSERS = {
    "runs": SearchUtils,
    "experiments": SearchExperimentsUtils,
    "registered-models": SearchModelUtils,
    "model-versions": SearchModelVersionUtils,
    "logged-models": SearchLoggedModelsUtils,
}
ALIASES = {
    "creation_time": "creation_timestamp",
    "last_updated_time": "last_updated_timestamp",
}


def clause(entity, utils, parsed):
    kind, key, comparator = parsed["type"], parsed["key"], parsed["comparator"].upper()
    known = (
        utils.is_string_attribute(kind, key, comparator)
        or utils.is_numeric_attribute(kind, key, comparator)
        or utils.is_tag(kind, comparator)
    )
    if not known and entity in ("runs", "logged-models"):
        known = utils.is_metric(kind, comparator) or utils.is_param(kind, comparator)
    if not known and entity == "runs":
        known = utils.is_dataset(kind, comparator)
    if not known:
        raise ValueError(f"no such type: {kind}")
    value = parsed["value"]
    if kind == "attribute":
        key = SearchUtils.translate_key_alias(key)
        key = ALIASES.get(key, key) if entity == "logged-models" else key
        if key in utils.NUMERIC_ATTRIBUTES:
            value = float(value)
    if kind == "metric":
        value = float(value)
    return [kind, key, comparator, list(value) if isinstance(value, tuple) else value]


def answer(entity, text):
    utils = PARSERS[entity]
    try:
        return [clause(entity, utils, parsed) for parsed in utils.parse_search_filter(text)]
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def ordered(entity, text):
    try:
        if entity == "runs":
            kind, key, ascending = SearchUtils.parse_order_by_for_search_runs(text)
        elif entity == "experiments":
            utils = SearchExperimentsUtils
            kind, key, ascending = utils.parse_order_by_for_search_experiments(text)
        else:
            utils = SearchModelVersionUtils
            kind, key, ascending = utils.parse_order_by_for_search_model_versions(text)
        # The stores refuse these when they sort.
        if kind == "dataset" or (entity != "runs" and kind != "attribute"):
            raise ValueError(f"Invalid order_by entity: {kind}")
        return [kind, SearchUtils.translate_key_alias(key), "asc" if ascending else "desc"]
    except Exception as error:
        return f"{type(error).__name__}: {error}"


asked = json.load(sys.stdin)
print(
    json.dumps({
        "filters": [answer(entity, text) for entity, text in asked["filters"]],
        "orders": [ordered(entity, text) for entity, text in asked["orders"]],
    })
)
