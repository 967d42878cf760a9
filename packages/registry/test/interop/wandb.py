"""Writes runs as W&B's client does without a network; prints what it logged.

usage: wandb.py DIRECTORY
"""

import json
import os
import sys

# This file has the library's name.
sys.path.pop(0)
directory = sys.argv[1]
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_DIR=directory, WANDB_DISABLE_GIT="true")

import wandb

first = wandb.init(
    project="flights",
    name="first",
    config={"rate": 0.1, "nested": {"a": 1, "list": [1, 2]}, "text": "größe"},
    tags=["x", "y"],
    notes="a note",
    group="g",
    job_type="train",
)
for i in range(2000):
    first.log({"loss": 1 / (i + 1), "deep": {"acc": i / 10}, "odd key!": i, "long text": "x" * 50})
first.log({"late": float("nan")}, step=5000)
first.summary["best"] = 0.9
first.summary["verdict"] = "good"
with open(os.path.join(first.dir, "notes.txt"), "w") as file:
    file.write("hello")
first.finish()

second = wandb.init(project="flights", name="second", config={"rate": 0.2})
second.log({"loss": 3})
second.finish(exit_code=3)

third = wandb.init(project="", name="alone")
third.log({"flag": True})
third.finish()
print(json.dumps({"version": wandb.__version__, "ids": [first.id, second.id, third.id]}))
