"""Trains LightGBM on the frames in a folder and prints one JSON line for each number of threads.

The folder holds meta.json and, for `train` and `valid`, `<set>_x.bin` (float32, column after
column) and `<set>_y.bin`. usage: lightgbm_peer.py FOLDER THREADS[,THREADS...]
"""

import json
import sys
import time

import lightgbm
import numpy
from sklearn.metrics import log_loss, roc_auc_score

folder, threads = sys.argv[1], [int(n) for n in sys.argv[2].split(",")]
meta = json.load(open(f"{folder}/meta.json"))


def load(name):
    label = numpy.fromfile(f"{folder}/{name}_y.bin", dtype=numpy.float32)
    columns = numpy.fromfile(f"{folder}/{name}_x.bin", dtype=numpy.float32)
    return columns.reshape(meta["features"], len(label)).T, label


train_x, train_y = load("train")
valid_x, valid_y = load("valid")
for count in threads:
    start = time.perf_counter()
    data = lightgbm.Dataset(
        train_x,
        train_y,
        categorical_feature=meta["categorical"],
        params={"max_bin": 255, "num_threads": count, "verbose": -1},
    )
    data.construct()
    binned = time.perf_counter()
    params = {
        "objective": "binary",
        "num_leaves": 31,
        "learning_rate": 0.1,
        "force_row_wise": True,
        "num_threads": count,
        "verbose": -1,
        "seed": 1,
    }
    model = lightgbm.train(params, data, meta["iterations"])
    done = time.perf_counter()
    scores = model.predict(valid_x, num_threads=count)
    print(
        json.dumps(
            {
                "threads": count,
                "bin_s": binned - start,
                "total_s": done - start,
                "auc": roc_auc_score(valid_y, scores),
                "logloss": log_loss(valid_y, scores),
            }
        )
    )
