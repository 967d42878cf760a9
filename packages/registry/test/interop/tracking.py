"""Experiments, runs, their inputs and outputs, and logged models through MLflow's own client.

usage: tracking.py URL
"""

import json
import os
import sys

os.environ.update(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_DISABLE_TELEMETRY="true", GIT_PYTHON_REFRESH="quiet")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    ViewType,
)
from mlflow.exceptions import MlflowException

url = sys.argv[1]
mlflow.set_tracking_uri(url)
client = MlflowClient()
answers = {}


def refusal(call):
    try:
        call()
    except MlflowException as error:
        return [error.error_code, error.message]
    return None


# Experiments
one = client.create_experiment("one", tags={"team": "delay"})
two = client.create_experiment("two", artifact_location="s3://bucket/two")
answers["location"] = [
    client.get_experiment(one).artifact_location == f"mlflow-artifacts:/{one}",
    client.get_experiment(two).artifact_location,
]
client.rename_experiment(two, "second")
client.set_experiment_tag(one, "note", "späť")
client.set_experiment_tag(one, "gone", "1")
client.delete_experiment_tag(one, "gone")
answers["no tag"] = refusal(lambda: client.delete_experiment_tag(one, "gone"))
answers["tags"] = client.get_experiment(one).tags
answers["found"] = [
    [e.name for e in client.search_experiments(filter_string=text, order_by=order)]
    for text, order in (
        ("tags.team = 'delay'", None),
        ("name LIKE 's%' OR name = 'one'", ["name DESC"]),
        ("creation_time > 0", ["name ASC"]),
    )
]
client.delete_experiment(two)
answers["deleted"] = [
    client.get_experiment(two).lifecycle_stage,
    [e.name for e in client.search_experiments()],
    [e.name for e in client.search_experiments(view_type=ViewType.DELETED_ONLY)],
    refusal(lambda: client.create_run(two)),
    refusal(lambda: mlflow.set_experiment("second")),
]
client.restore_experiment(two)
answers["restored"] = client.get_experiment(two).lifecycle_stage

# Runs
run = client.create_run(one)
run_id = run.info.run_id
answers["invented"] = [len(run.info.run_name.split("-")), run.data.tags["mlflow.runName"] == run.info.run_name]
client.set_tag(run_id, "mlflow.runName", "named")
client.set_tag(run_id, "old", "1")
client.delete_tag(run_id, "old")
answers["renamed"] = [client.get_run(run_id).info.run_name, "old" in client.get_run(run_id).data.tags]
client.delete_run(run_id)
answers["run deleted"] = [
    client.get_run(run_id).info.lifecycle_stage,
    [len(client.search_runs([one], run_view_type=view)) for view in (1, 2, 3)],
    refusal(lambda: client.log_metric(run_id, "m", 1)),
    refusal(lambda: client.set_tag(run_id, "m", "1")),
    refusal(lambda: client.log_param(run_id, "m", "1")),
]
client.restore_run(run_id)

# Inputs, by the fluent API where it has one
dataset = Dataset("flights", "abc", "http", '{"url": "x"}', schema='{"a": "long"}')
client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
answers["inputs"] = [
    [d.dataset.name, d.dataset.digest, d.dataset.schema, [[t.key, t.value] for t in d.tags]]
    for d in client.get_run(run_id).inputs.dataset_inputs
]
answers["by dataset"] = [
    r.info.run_name for r in client.search_runs([one], "datasets.name = 'flights'")
]

# Logged models
mlflow.set_experiment("one")
with mlflow.start_run(run_id=run_id):
    made = mlflow.initialize_logged_model(
        name="net", model_type="gbdt", params={"rate": "0.1"}, tags={"a": "b"}
    )
    mlflow.log_metric("auc", 0.9, model_id=made.model_id, dataset=None)
    client.log_batch(run_id, metrics=[Metric("auc", 0.95, 5, 1, model_id=made.model_id)])
    client.log_outputs(run_id, [LoggedModelOutput(made.model_id, 3)])
    client.log_inputs(run_id, models=[LoggedModelInput(made.model_id)])
    mlflow.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
other = client.create_logged_model(one, name="other")
client.set_logged_model_tags(made.model_id, {"c": "d", "long key": "e"})
client.delete_logged_model_tag(made.model_id, "long key")
client.log_model_params(made.model_id, {"depth": "6"})
model = client.get_logged_model(made.model_id)
answers["model"] = {
    "status": str(model.status),
    "run": model.source_run_id == run_id,
    "params": model.params,
    "tags": model.tags.get("a"),
    "added": [model.tags.get("c"), model.tags.get("long key")],
    "metrics": [[m.key, m.value, m.step] for m in model.metrics],
    "place": model.artifact_location == f"mlflow-artifacts:/{one}/models/{made.model_id}/artifacts",
}
linked = client.get_run(run_id)
answers["linked"] = [
    [o.model_id == made.model_id for o in linked.outputs.model_outputs],
    [o.step for o in linked.outputs.model_outputs],
    [i.model_id == made.model_id for i in linked.inputs.model_inputs],
]
answers["models"] = [
    [m.name for m in client.search_logged_models([one], **options)]
    for options in (
        {},
        {"filter_string": "params.rate = '0.1' AND metrics.auc > 0.92"},
        {"filter_string": "name LIKE 'o%'"},
        {"order_by": [{"field_name": "metrics.auc", "ascending": False}]},
        {"order_by": [{"field_name": "name"}]},
    )
]
page = client.search_logged_models([one], max_results=1, order_by=[{"field_name": "name"}])
answers["model page"] = [
    m.name
    for m in client.search_logged_models(
        [one], max_results=1, order_by=[{"field_name": "name"}], page_token=page.token
    )
]
answers["foreign page"] = refusal(
    lambda: client.search_logged_models([one], max_results=1, page_token=page.token)
)
client.delete_logged_model(other.model_id)
answers["no model"] = refusal(lambda: client.get_logged_model(other.model_id))
answers["bad name"] = refusal(lambda: client.create_logged_model(one, name="a.b"))

print(json.dumps(answers))
