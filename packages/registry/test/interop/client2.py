"""Tracks with an old client of MLflow, version 2; prints what it got.

usage: client2.py URL
"""

import json
import os
import sys
import tempfile

os.environ.update(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", GIT_PYTHON_REFRESH="quiet")

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

url = sys.argv[1]
mlflow.set_tracking_uri(url)
mlflow.set_registry_uri(url)
mlflow.set_experiment("from version 2")
client = MlflowClient()

with mlflow.start_run() as started:
    mlflow.log_param("rate", 0.1)
    for step, loss in enumerate([1, 0.5, 0.25]):
        mlflow.log_metric("loss", loss, step)
    mlflow.log_text("written", "notes/a.txt")
run_id = started.info.run_id
run = client.get_run(run_id)
experiment = run.info.experiment_id

with tempfile.TemporaryDirectory() as folder:
    path = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="notes/a.txt", dst_path=folder)
    with open(path) as file:
        text = file.read()

client.create_registered_model("old")
version = client.create_model_version("old", f"{run.info.artifact_uri}/notes", run_id)
client.set_registered_model_alias("old", "champion", version.version)
client.transition_model_version_stage("old", version.version, "Staging")
read = client.get_model_version("old", version.version)

try:
    client.get_run("0" * 32)
    refused = None
except MlflowException as error:
    refused = error.error_code

other = client.create_run(experiment)
client.delete_run(other.info.run_id)

print(
    json.dumps(
        {
            "version": mlflow.__version__,
            "metrics": run.data.metrics,
            "history": [point.value for point in client.get_metric_history(run_id, "loss")],
            "params": run.data.params,
            "artifacts": [file.path for file in client.list_artifacts(run_id, "notes")],
            "text": text,
            "found": len(client.search_runs([experiment], "metrics.loss < 0.3 AND params.rate = '0.1'")),
            "deleted": client.get_run(other.info.run_id).info.lifecycle_stage,
            "aliases": list(read.aliases),
            "stage": read.current_stage,
            "champion": client.get_model_version_by_alias("old", "champion").version,
            "refused": refused,
        }
    )
)
