"""A training in Python, as a script or as a notebook would run it; prints what it recorded."""

import json
import os
import sys

sys.path.insert(0, os.environ["CAPTURE_PATH"])

import mlflow

import ashlar_capture

seed = int(sys.argv[2].removeprefix("--seed=")) if len(sys.argv) > 2 else 7
notebook = os.environ.get("CAPTURE_NOTEBOOK") == "1"
if notebook:
    # A kernel has no script.
    sys.argv = [""]

mlflow.set_experiment("python")
with mlflow.start_run(run_name="trained") as run:
    mlflow.log_param("seed", seed)
    with open("extra.json", encoding="utf-8") as file:
        bonus = json.load(file)["bonus"]
    source = ashlar_capture.capture(
        seeds={"main": seed},
        datasets=[{"name": "extra", "uri": "file://" + os.path.abspath("extra.json")}],
        limits={"file_bytes": 5000},
    )
    for step in range(5):
        mlflow.log_metric("auc", bonus + step / 10 + seed / 1000, step=step)

print(json.dumps({"run": run.info.run_id, "source": source}))
