"""Tracks and finds things with MLflow's own client; prints what it got.

usage: client.py URL
"""

import json
import math
import os
import sys
import urllib.request

os.environ.update(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_DISABLE_TELEMETRY="true", GIT_PYTHON_REFRESH="quiet")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

url = sys.argv[1]
mlflow.set_tracking_uri(url)
mlflow.set_registry_uri(url)
client = MlflowClient()
answers = {}


def refusal(call):
    try:
        call()
    except MlflowException as error:
        return [error.error_code, error.message]
    return None


# Experiments
answers["default"] = client.get_experiment("0").name
first = client.create_experiment("flights / 2001", tags={"team": "delay"})
experiment = client.get_experiment(first)
answers["experiment"] = [experiment.name, experiment.lifecycle_stage, experiment.tags]
answers["by name"] = client.get_experiment_by_name("flights / 2001").experiment_id == first
answers["no name"] = client.get_experiment_by_name("nobody")
answers["twice"] = refusal(lambda: client.create_experiment("flights / 2001"))
answers["missing experiment"] = refusal(lambda: client.get_experiment("77"))
for i in range(5):
    client.create_experiment(f"page {i}")
names, token = [], None
while True:
    found = client.search_experiments(max_results=2, page_token=token)
    names += [e.name for e in found]
    token = found.token
    if not token:
        break
answers["experiments"] = names

# Runs, by the fluent API as people use it
mlflow.set_experiment("flights / 2001")
with mlflow.start_run(run_name="trial", tags={"kind": "gbdt"}) as active:
    mlflow.log_param("rate", 0.1)
    mlflow.log_params({"trees": 100, "long": "x" * 7000})
    for step in range(5):
        mlflow.log_metric("auc", 0.7 + step / 100, step=step)
    mlflow.log_metrics({"loss": 0.5, "bad": float("nan"), "far": float("inf")}, step=3)
    mlflow.set_tag("note", "späť")
run_id = active.info.run_id
run = client.get_run(run_id)
answers["run"] = {
    "name": run.info.run_name,
    "status": run.info.status,
    "ended": run.info.end_time >= run.info.start_time,
    "params": {**run.data.params, "long": len(run.data.params["long"])},
    "tags": {k: run.data.tags.get(k) for k in ("kind", "note", "mlflow.runName")},
    "auc": run.data.metrics["auc"],
    "loss": run.data.metrics["loss"],
    "nan": math.isnan(run.data.metrics["bad"]),
    "inf": run.data.metrics["far"] == sys.float_info.max,
    "artifacts": run.info.artifact_uri == f"mlflow-artifacts:/{first}/{run_id}/artifacts",
}

with mlflow.start_run(run_id=run_id):
    mlflow.log_metric("late", 1)
answers["resumed"] = client.get_run(run_id).data.metrics["late"]

# Batches, histories and refusals, by the client
batch = client.create_run(first, run_name="batch")
batch_id = batch.info.run_id
points = [Metric("m", float(i), 1000 + i % 10, i) for i in range(1000)]
client.log_batch(batch_id, metrics=points)
client.log_batch(batch_id, metrics=points)
client.log_batch(batch_id, params=[Param("a", "1")], tags=[RunTag("t", "1")])
history = client.get_metric_history(batch_id, "m")
answers["history"] = [len(history), history == sorted(history, key=lambda m: (m.timestamp, m.step))]
answers["latest"] = client.get_run(batch_id).data.metrics["m"]
answers["no history"] = client.get_metric_history(batch_id, "nothing")
answers["changed param"] = refusal(lambda: client.log_param(batch_id, "a", "2"))
answers["bad key"] = refusal(lambda: client.log_metric(batch_id, "../x", 1))
answers["no run"] = refusal(lambda: client.get_run("nobody"))
client.update_run(batch_id, status="KILLED", name="renamed")
client.set_terminated(batch_id, "FAILED")
answers["updated"] = [client.get_run(batch_id).info.status, client.get_run(batch_id).info.run_name]

for i in range(5):
    client.create_run(first, start_time=10 + i)
ids, token = [], None
while True:
    found = client.search_runs([first], max_results=3, page_token=token)
    ids += [r.info.run_id for r in found]
    starts = [r.info.start_time for r in found]
    token = found.token
    if not token:
        break
answers["search"] = [len(ids), len(set(ids)), starts]
answers["filter"] = [
    [r.info.run_name for r in client.search_runs([first], text)]
    for text in (
        "metrics.auc > 0.5",
        "metrics.auc > 0.9",
        "params.rate = '0.1' AND tags.kind LIKE 'gb%'",
        "attributes.run_name IN ('renamed', 'nobody')",
        "metrics.bad != 1",
    )
]
names, token = [], None
while True:
    found = client.search_runs(
        [first], "status != 'RUNNING'", order_by=["metrics.m DESC"], max_results=1, page_token=token
    )
    names += [r.info.run_name for r in found]
    token = found.token
    if not token:
        break
answers["ordered"] = names
answers["bad filter"] = refusal(lambda: client.search_runs([first], "metrics.auc > 'high'"))
answers["bad order"] = refusal(lambda: client.search_runs([first], order_by=["nothing.x"]))

# Models: the server registered versions 1 and 2 of "flights", and protects @champion
by_alias = client.get_model_version_by_alias("flights", "baseline")
answers["alias"] = [by_alias.name, by_alias.version, by_alias.status, list(by_alias.aliases)]
answers["no alias"] = refusal(lambda: client.get_model_version_by_alias("flights", "nobody"))
client.set_registered_model_alias("flights", "candidate", "2")
answers["set alias"] = client.get_model_version_by_alias("flights", "candidate").version
client.delete_registered_model_alias("flights", "candidate")
client.delete_registered_model_alias("flights", "candidate")
answers["removed alias"] = refusal(
    lambda: client.get_model_version_by_alias("flights", "candidate")
)
answers["protected"] = refusal(
    lambda: client.set_registered_model_alias("flights", "champion", "2")
)
answers["reserved"] = refusal(lambda: client.set_registered_model_alias("flights", "v3", "2"))
client.create_registered_model("empty", tags={"a": "b"}, description="nothing yet")
empty = client.get_registered_model("empty")
answers["registered"] = [empty.description, empty.tags]
answers["registered twice"] = refusal(lambda: client.create_registered_model("empty"))
answers["models"] = [m.name for m in client.search_registered_models()]
flights = client.get_registered_model("flights")
answers["latest version"] = [flights.latest_versions[0].version, flights.aliases]
answers["versions"] = [v.version for v in client.search_model_versions("name='flights'")]
answers["version"] = client.get_model_version("flights", "1").run_id
answers["no version"] = refusal(lambda: client.get_model_version("flights", "9"))
answers["no model"] = refusal(lambda: client.get_registered_model("nobody"))


# Requests that the client would not send
def post(path, body, root="api"):
    request = urllib.request.Request(
        f"{url}/{root}/2.0/mlflow/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return [answer.status, json.load(answer)]
    except urllib.error.HTTPError as error:
        return [error.code, json.load(error)]


answers["missing field"] = post("runs/log-metric", {"key": "k"})
answers["wrong field"] = post("runs/log-batch", {"run_id": batch_id, "metrics": [{"key": 31}]})
answers["ajax"] = post("experiments/search", {"max_results": "1"}, root="ajax-api")[0]
answers["old id"] = post("runs/set-tag", {"run_uuid": batch_id, "key": "k", "value": "v"})
answers["double"] = post("runs/set-tag", json.dumps({"run_id": batch_id, "key": "k", "value": "w"}))
answers["unsupported"] = post("scorers/register", {})
answers["many"] = post("runs/log-batch", {"run_id": batch_id, "tags": [{"key": "k"}] * 101})[0]
answers["page size"] = post("runs/search", {"experiment_ids": [first], "max_results": 50001})[0]
with urllib.request.urlopen(f"{url}/api/2.0/mlflow/artifacts/list?run_id={run_id}") as answer:
    answers["artifacts"] = json.load(answer)

print(json.dumps(answers))
