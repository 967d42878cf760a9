"""Fills a store with experiments, runs and models by MLflow's own client.

usage: transfer.py TRACKING_URI
"""

import os
import sys
import warnings

warnings.filterwarnings("ignore")
os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", GIT_PYTHON_REFRESH="quiet", MLFLOW_ALLOW_FILE_STORE="true")

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric
from sklearn.linear_model import LinearRegression

uri = sys.argv[1]
mlflow.set_tracking_uri(uri)
mlflow.set_registry_uri(uri)
client = MlflowClient()

mlflow.set_experiment("flights / 2001")
mlflow.set_experiment_tag("team", "delay")
model = LinearRegression().fit([[1], [2]], [1, 2])
with mlflow.start_run(run_name="parent", description="a note") as parent:
    mlflow.log_params({"a/b": "1", "text": "x" * 3000, "unicode": "größe"})
    for step, loss in enumerate([1.5, float("nan"), float("inf"), 1e-300]):
        mlflow.log_metric("loss", loss, step)
    client.log_batch(parent.info.run_id, [Metric("long", i * i / 7, 1_700_000_000_000 + i, i) for i in range(1000)])
    client.log_batch(parent.info.run_id, [Metric("long", i * i / 7, 1_700_000_000_000 + i, i) for i in range(1000, 1500)])
    mlflow.set_tags({"lines": "one\ntwo", "kind": "gb"})
    mlflow.log_text("hello", "notes/a.txt")
    mlflow.log_text("", "empty.txt")
    mlflow.log_dict({"deep": 1}, "x/y/z/with space.json")
    mlflow.log_input(mlflow.data.from_pandas(pd.DataFrame({"a": [1.0]}), name="rows"), context="training")
    mlflow.sklearn.log_model(model, name="model", registered_model_name="flights")
    with mlflow.start_run(nested=True, run_name="child"):
        mlflow.log_metric("z", 1)
with mlflow.start_run(run_name="failed"):
    mlflow.log_metric("loss", 3)
client.set_terminated(mlflow.last_active_run().info.run_id, "FAILED")
gone = client.create_run(parent.info.experiment_id)
client.delete_run(gone.info.run_id)

mlflow.set_experiment("empty")

source = f"runs:/{parent.info.run_id}/notes"
for _ in range(3):
    client.create_model_version("flights", source, parent.info.run_id, tags={"kind": "notes"}, description="notes")
client.delete_model_version("flights", "2")
client.update_registered_model("flights", "late flights")
client.set_registered_model_tag("flights", "owner", "ada")
client.set_registered_model_alias("flights", "champion", "1")
client.set_registered_model_alias("flights", "challenger", "4")
client.transition_model_version_stage("flights", "3", "Staging")
