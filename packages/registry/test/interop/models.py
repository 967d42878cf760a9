"""Registers, finds and serves models with MLflow's own client; prints what it got.

usage: models.py URL FOLDER
"""

import json
import os
import sys
import warnings

os.environ.update(
    MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_DISABLE_TELEMETRY="true", GIT_PYTHON_REFRESH="quiet"
)
warnings.filterwarnings("ignore")

import mlflow
import numpy
import onnx
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

url, folder = sys.argv[1:]
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


numbers = numpy.random.default_rng(7)
X = numbers.normal(size=(200, 3)).astype("float32")
y = (X.sum(axis=1) > 0).astype("int64")
model = LogisticRegression().fit(X, y)
signature = infer_signature(X, model.predict(X))

# Logged models become versions, by the fluent API and by the client.
mlflow.set_experiment("models")
with mlflow.start_run() as run:
    mlflow.log_metric("auc", 0.9)
    info = mlflow.sklearn.log_model(
        model,
        name="model",
        signature=signature,
        registered_model_name="flight delays",
        pip_requirements=[],
        serialization_format="cloudpickle",
    )
    converted = to_onnx(model, X[:1], options={"zipmap": False})
    onnx_info = mlflow.onnx.log_model(converted, name="graph", signature=signature, pip_requirements=[])
    plain = mlflow.sklearn.log_model(
        model, name="plain", pip_requirements=[], serialization_format="cloudpickle"
    )
second = mlflow.register_model(onnx_info.model_uri, "flight delays", tags={"kind": "onnx"})
third = client.create_model_version(
    "flight delays", plain.model_uri, run_id=run.info.run_id, model_id=plain.model_id, description="no signature"
)
answers["versions"] = [second.version, third.version, third.status, third.run_id == run.info.run_id]
logged = client.get_logged_model(info.model_id)
answers["registrations"] = json.loads(logged.tags["mlflow.modelVersions"])

# What is registered is loaded again, and predicts the same.
expected = model.predict(X).tolist()
client.set_registered_model_alias("flight delays", "best", 2)
first = mlflow.sklearn.load_model("models:/flight delays/1")
aliased = mlflow.pyfunc.load_model("models:/flight delays@best")
answers["predicts"] = first.predict(X).tolist() == expected
answers["pyfunc predicts"] = numpy.ravel(aliased.predict(X)["label"]).tolist() == expected
answers["signature"] = mlflow.models.get_model_info("models:/flight delays/1").signature.inputs.to_dict() is not None

# A package that TypeScript registered is MLflow's too.
native = mlflow.artifacts.download_artifacts("models:/native/1", dst_path=os.path.join(folder, "native"))
answers["native files"] = sorted(os.listdir(native))
session = mlflow.onnx.load_model("models:/native@baseline")
answers["native graph"] = session.graph.input[0].name

# Aliases, tags, descriptions
by_alias = client.get_model_version_by_alias("flight delays", "best")
answers["alias"] = [by_alias.version, list(by_alias.aliases)]
client.set_registered_model_tag("flight delays", "team", "delay")
client.set_model_version_tag("flight delays", "1", "checked", "yes")
client.update_registered_model("flight delays", "all of them")
client.update_model_version("flight delays", "1", "the first")
found = client.get_registered_model("flight delays")
answers["model"] = [found.name, found.description, found.tags, found.aliases]
version = client.get_model_version("flight delays", "1")
answers["version"] = [version.description, version.tags, version.current_stage]
client.delete_model_version_tag("flight delays", "1", "checked")
client.delete_registered_model_tag("flight delays", "team")
answers["untagged"] = [
    client.get_model_version("flight delays", "1").tags,
    client.get_registered_model("flight delays").tags,
]
answers["reserved"] = refusal(lambda: client.set_registered_model_alias("flight delays", "latest", 1))
answers["protected"] = refusal(lambda: client.set_registered_model_alias("native", "champion", 1))
answers["protected stage"] = refusal(lambda: client.transition_model_version_stage("native", 1, "Production"))
answers["protected version"] = refusal(lambda: client.delete_registered_model("native"))

# Stages
client.transition_model_version_stage("flight delays", 1, "Production")
client.transition_model_version_stage("flight delays", 2, "production", archive_existing_versions=True)
answers["stages"] = {v.version: v.current_stage for v in client.search_model_versions("name='flight delays'")}
answers["latest"] = [[v.version, v.current_stage] for v in client.get_latest_versions("flight delays")]
answers["of stage"] = [v.version for v in client.get_latest_versions("flight delays", ["Production"])]
by_stage = mlflow.pyfunc.load_model("models:/flight delays/Production")
answers["by stage"] = by_stage.metadata.model_id == onnx_info.model_id

# Search
for i in range(5):
    client.create_registered_model(f"page {i}", tags={"even": str(i % 2 == 0)})


def all_pages(search, **options):
    names, token = [], None
    while True:
        page = search(page_token=token, **options)
        names += [item.name for item in page]
        token = page.token
        if not token:
            return names


answers["pages"] = all_pages(
    client.search_registered_models, filter_string="name LIKE 'page %'", max_results=2, order_by=["name DESC"]
)
answers["even"] = all_pages(client.search_registered_models, filter_string="tags.even = 'True'", max_results=1)
answers["by run"] = sorted(v.version for v in client.search_model_versions(f"run_id = '{run.info.run_id}'"))
answers["by tag"] = [v.version for v in client.search_model_versions("tags.kind = 'onnx'")]
answers["bad filter"] = refusal(lambda: client.search_registered_models("name ="))

# Copies, renames, deletes
copied = client.copy_model_version("models:/flight delays/1", "copied")
answers["copy"] = [copied.name, copied.version, copied.source]
answers["copy predicts"] = mlflow.sklearn.load_model("models:/copied/1").predict(X).tolist() == expected
client.rename_registered_model("copied", "renamed")
answers["renamed"] = [client.get_model_version("renamed", "1").name, refusal(lambda: client.get_registered_model("copied"))]
client.delete_model_version("flight delays", "3")
answers["deleted version"] = refusal(lambda: client.get_model_version("flight delays", "3"))
client.delete_registered_model("renamed")
answers["deleted model"] = refusal(lambda: client.get_registered_model("renamed"))

# Sources that are not the caller's
create = lambda source, **more: refusal(lambda: client.create_model_version("flight delays", source, **more))
answers["outside"] = create("file:///etc")
answers["dots"] = create("mlflow-artifacts:/0/%252e%252e/secret", run_id=run.info.run_id)
answers["other run"] = create(f"runs:/{run.info.run_id}/model", run_id="other")
remote = client.create_model_version("flight delays", "s3://bucket/model")
answers["remote"] = [remote.version, remote.source]

# Prompts
prompt = client.register_prompt("greeting", "Hello {{name}}", commit_message="first", tags={"tone": "kind"})
client.register_prompt("greeting", "Dear {{name}}")
client.set_prompt_alias("greeting", "live", 1)
loaded = client.load_prompt("prompts:/greeting@live")
answers["prompt"] = [prompt.version, loaded.template, loaded.format(name="Ada")]
answers["prompts"] = [p.name for p in client.search_prompts()]
answers["models without prompts"] = "greeting" in [m.name for m in client.search_registered_models()]
answers["prompt is taken"] = refusal(lambda: client.create_registered_model("greeting"))

print(json.dumps(answers))
