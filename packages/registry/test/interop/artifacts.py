"""MLflow's own client moves files to and from the server; prints what it saw as JSON."""

import hashlib
import json
import os
import random
import sys
import tempfile

os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] = "true"
os.environ["MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE"] = "12000000"
os.environ["MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE"] = "6000000"
os.environ["MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE"] = "4000000"
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"

import mlflow
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts, list_artifacts, load_dict, load_text
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact import http_artifact_repo

mlflow.set_tracking_uri(sys.argv[1])
client = MlflowClient()
seen = {}
folder = tempfile.mkdtemp()
random.seed(11)


def write(name, content):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    return path


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def refused(call):
    try:
        call()
        return None
    except MlflowException as error:
        return [error.error_code, str(error)[:300]]
    except Exception as error:
        return [type(error).__name__, str(error)[:300]]


def listed(run_id, path=None):
    return [[f.path, f.is_dir, f.file_size] for f in client.list_artifacts(run_id, path)]


mlflow.set_experiment("files")
with mlflow.start_run() as run:
    run_id = run.info.run_id
    mlflow.log_text("späť", "notes/späť.txt")
    mlflow.log_dict({"a": [1, 2]}, "conf.json")
    mlflow.log_artifact(write("single.bin", random.randbytes(1_000_000)), "data")
    mlflow.log_artifact(write("empty.txt", b""))
    mlflow.log_artifact(write("a name with spaces & signs+.txt", b"odd"))
    for i in range(12):
        write(f"tree/level{i % 3}/file{i}.txt", f"file {i}".encode())
    mlflow.log_artifacts(os.path.join(folder, "tree"), "tree")

seen["uri"] = mlflow.get_run(run_id).info.artifact_uri.split("/", 1)[0]
seen["root"] = listed(run_id)
seen["below"] = listed(run_id, "tree/level1")
seen["of a file"] = listed(run_id, "conf.json")
seen["of nothing"] = listed(run_id, "nothing")
seen["text"] = load_text(f"runs:/{run_id}/notes/späť.txt")
seen["dict"] = load_dict(f"runs:/{run_id}/conf.json")
whole = download_artifacts(run_id=run_id, artifact_path="")
seen["downloaded"] = sorted(
    os.path.relpath(os.path.join(root, name), whole) for root, _, names in os.walk(whole) for name in names
)
seen["same"] = digest(os.path.join(whole, "data/single.bin")) == digest(os.path.join(folder, "single.bin"))
seen["missing"] = refused(lambda: download_artifacts(run_id=run_id, artifact_path="none.txt"))
seen["by uri"] = len(list_artifacts(artifact_uri=f"runs:/{run_id}/tree"))

# In parts: what the client sends, and what comes back.
big = write("big.bin", random.randbytes(20_000_000))
sent = []
part = http_artifact_repo.HttpArtifactRepository._upload_part


def counted(credential, local_file, size, start_byte):
    sent.append(credential.part_number)
    return part(credential, local_file, size, start_byte)


http_artifact_repo.HttpArtifactRepository._upload_part = staticmethod(counted)
client.log_artifact(run_id, big, "large")
seen["parts"] = sorted(sent)
seen["large"] = listed(run_id, "large")
seen["large same"] = digest(client.download_artifacts(run_id, "large/big.bin")) == digest(big)
os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"] = "true"
chunks = []
chunk = http_artifact_repo.download_chunk


def fetched(**given):
    chunks.append([given["range_start"], given["range_end"]])
    return chunk(**given)


http_artifact_repo.download_chunk = fetched
seen["chunked same"] = digest(client.download_artifacts(run_id, "large/big.bin")) == digest(big)
seen["chunks"] = len(chunks)
os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"] = "false"


# A part that fails makes the client abort.
def failing(credential, local_file, size, start_byte):
    if credential.part_number == 2:
        raise RuntimeError("the line broke")
    return part(credential, local_file, size, start_byte)


http_artifact_repo.HttpArtifactRepository._upload_part = staticmethod(failing)
seen["aborted"] = refused(lambda: client.log_artifact(run_id, big, "aborted"))
seen["after abort"] = listed(run_id, "aborted")
http_artifact_repo.HttpArtifactRepository._upload_part = staticmethod(part)

repository = get_artifact_repository(mlflow.get_run(run_id).info.artifact_uri)
repository.delete_artifacts("tree/level0")
seen["after delete"] = [path for path, *_ in listed(run_id, "tree")]
seen["escape"] = refused(lambda: repository.list_artifacts("../.."))
seen["escape up"] = refused(lambda: client.log_text(run_id, "x", "../x.txt"))

# What mlflow.log_model does with files, without a flavor's own libraries.
model = client.create_logged_model(mlflow.get_run(run_id).info.experiment_id, name="m", source_run_id=run_id)
client.log_model_artifacts(model.model_id, os.path.join(folder, "tree"))
seen["model"] = sorted(f.path for f in client.list_logged_model_artifacts(model.model_id))
found = download_artifacts(artifact_uri=f"models:/{model.model_id}")
seen["model files"] = sum(len(names) for _, _, names in os.walk(found))

print(json.dumps(seen))
