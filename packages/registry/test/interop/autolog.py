"""Trains with each library's autologging against a server; prints what the server then has.

usage: autolog.py URL LIBRARY   (sklearn, xgboost, lightgbm, optuna, lightning)
"""

import json
import os
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
os.environ.update(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_DISABLE_TELEMETRY="true", GIT_PYTHON_REFRESH="quiet")

import mlflow
import numpy as np
from mlflow import MlflowClient

url, library = sys.argv[1:]
mlflow.set_tracking_uri(url)
mlflow.set_registry_uri(url)
mlflow.set_experiment(f"autolog {library}")
client = MlflowClient()
rng = np.random.default_rng(7)
features = rng.normal(size=(200, 4))
target = (features[:, 0] + 0.5 * features[:, 1] > 0).astype(int)


def paths(run_id, path=None):
    found = []
    for file in client.list_artifacts(run_id, path):
        found += paths(run_id, file.path) if file.is_dir else [file.path]
    return found


def facts(run_id, same=None):
    """What the server has of a run, and whether the model read back predicts the same."""
    run = client.get_run(run_id)
    outputs = [output.model_id for output in run.outputs.model_outputs] if run.outputs else []
    return {
        "status": run.info.status,
        "params": run.data.params,
        "metrics": run.data.metrics,
        "tags": {key: value for key, value in run.data.tags.items() if key.startswith("mlflow.")},
        "artifacts": sorted(paths(run_id)),
        "datasets": [item.dataset.name for item in run.inputs.dataset_inputs],
        "models": [client.get_logged_model(model_id).status.value for model_id in outputs],
        "same": same,
    }


def same_predictions(run_id, flavor, expected, data):
    run = client.get_run(run_id)
    [output] = run.outputs.model_outputs
    loaded = flavor.load_model(f"models:/{output.model_id}")
    return bool(np.allclose(loaded.predict(data), expected, rtol=1e-6, atol=1e-7))


def sklearn():
    from sklearn.linear_model import LogisticRegression

    mlflow.sklearn.autolog(log_input_examples=True)
    with mlflow.start_run() as run:
        model = LogisticRegression(C=0.5).fit(features, target)
    return facts(run.info.run_id, same_predictions(run.info.run_id, mlflow.sklearn, model.predict(features), features))


def xgboost():
    import xgboost as xgb

    mlflow.xgboost.autolog()
    data = xgb.DMatrix(features, label=target)
    with mlflow.start_run() as run:
        model = xgb.train({"objective": "binary:logistic", "max_depth": 2, "eval_metric": "logloss"}, data, 5, evals=[(data, "train")], verbose_eval=False)
    return facts(run.info.run_id, same_predictions(run.info.run_id, mlflow.xgboost, model.predict(data), data))


def lightgbm():
    import lightgbm as lgb

    mlflow.lightgbm.autolog()
    data = lgb.Dataset(features, label=target)
    with mlflow.start_run() as run:
        model = lgb.train({"objective": "binary", "num_leaves": 4, "verbose": -1}, data, 5, valid_sets=[data], valid_names=["train"])
    return facts(run.info.run_id, same_predictions(run.info.run_id, mlflow.lightgbm, model.predict(features), features))


def optuna():
    import optuna as study_library
    from optuna_integration import MLflowCallback

    study_library.logging.set_verbosity(study_library.logging.ERROR)
    callback = MLflowCallback(tracking_uri=url, metric_name="loss", create_experiment=False)
    study = study_library.create_study(sampler=study_library.samplers.RandomSampler(seed=7))
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=4, callbacks=[callback])
    experiment = client.get_experiment_by_name("autolog optuna")
    runs = client.search_runs([experiment.experiment_id], order_by=["metrics.loss ASC"])
    best = runs[0]
    return {
        "runs": len(runs),
        "best": abs(best.data.metrics["loss"] - study.best_value) < 1e-12,
        "params": best.data.params,
        "tags": best.data.tags,
    }


def lightning():
    import logging

    import pytorch_lightning as pl
    import torch
    from pytorch_lightning.loggers import MLFlowLogger

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    class Model(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters({"rate": 0.1})
            self.layer = torch.nn.Linear(4, 1)

        def training_step(self, batch, _):
            x, y = batch
            loss = torch.nn.functional.mse_loss(self.layer(x), y)
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    torch.manual_seed(7)
    data = torch.utils.data.TensorDataset(torch.tensor(features, dtype=torch.float32), torch.tensor(target[:, None], dtype=torch.float32))
    logger = MLFlowLogger("autolog lightning", tracking_uri=url, log_model=True)
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(max_epochs=3, logger=logger, log_every_n_steps=1, accelerator="cpu", default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False)
        trainer.fit(Model(), torch.utils.data.DataLoader(data, batch_size=50))
    return {**facts(logger.run_id), "points": len(client.get_metric_history(logger.run_id, "loss"))}


print(json.dumps({"sklearn": sklearn, "xgboost": xgboost, "lightgbm": lightgbm, "optuna": optuna, "lightning": lightning}[library]()))
