"""Writes one small model of each format with its own library, and prints what the library says.

With `events` it writes event files with tensorboard's own writer and tensorboardX; with `read DIR`
it prints the scalars and hyper-parameters that TensorBoard reads in DIR.
"""

import json
import os
import sys
import warnings

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
warnings.filterwarnings("ignore")

import numpy as np

columns = ["distance", "hour", "carrier"]
rng = np.random.default_rng(7)
x = rng.normal(size=(60, 3)).astype(np.float32)
y = (x[:, 0] > 0).astype(int)
y3 = np.arange(60) % 3


def shape_of(array):
    return [-1] + list(np.asarray(array).shape[1:])


def onnx_model(folder, says):
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(x, y)
    onx = to_onnx(model, x, options={"zipmap": False})
    path = f"{folder}/logistic.onnx"
    onnx.save(onx, path)
    says["logistic.onnx"] = describe_onnx(path)
    with_maps = to_onnx(model, x)
    onnx.save(with_maps, f"{folder}/zipmap.onnx")
    says["zipmap.onnx"] = describe_onnx(f"{folder}/zipmap.onnx")

    weights = numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3]),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 2]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
        initializer=[weights],
    )
    model = helper.make_model(
        graph, producer_name="hand", ir_version=3, opset_imports=[helper.make_opsetid("", 13)]
    )
    os.mkdir(f"{folder}/external")
    onnx.save(
        model,
        f"{folder}/external/linear.onnx",
        save_as_external_data=True,
        location="linear.bin",
        size_threshold=0,
    )
    says["external/linear.onnx"] = describe_onnx(f"{folder}/external/linear.onnx")
    for tensor in model.graph.initializer:
        tensor.data_location = TensorProto.EXTERNAL
        del tensor.external_data[:]
        tensor.external_data.add(key="location", value="../../etc/passwd")
    with open(f"{folder}/escape.onnx", "wb") as file:
        file.write(model.SerializeToString())


def describe_onnx(path):
    import onnx

    model = onnx.load(path, load_external_data=False)
    stored = {tensor.name for tensor in model.graph.initializer}

    def value(info):
        kind = info.type.WhichOneof("value")
        if kind != "tensor_type":
            return {"name": info.name, "type": kind.split("_")[0].upper()}
        tensor = info.type.tensor_type
        return {
            "name": info.name,
            "type": onnx.TensorProto.DataType.Name(tensor.elem_type),
            "shape": [
                getattr(d, d.WhichOneof("value")) if d.WhichOneof("value") else None
                for d in tensor.shape.dim
            ],
        }

    return {
        "irVersion": model.ir_version,
        "producer": model.producer_name,
        "producerVersion": model.producer_version,
        "opsets": {o.domain or "ai.onnx": o.version for o in model.opset_import},
        "graph": model.graph.name,
        "nodes": len(model.graph.node),
        "inputs": [value(i) for i in model.graph.input if i.name not in stored],
        "outputs": [value(o) for o in model.graph.output],
    }


def safetensors_model(folder, says):
    from safetensors import safe_open
    from safetensors.numpy import save_file

    path = f"{folder}/weights.safetensors"
    tensors = {"w": x[:2], "b": np.zeros(3, np.float16), "n": np.array([1, 2], np.int64)}
    save_file(tensors, path, metadata={"made": "here"})
    with safe_open(path, "numpy") as file:
        says["weights.safetensors"] = {
            "metadata": file.metadata(),
            "tensors": {
                k: [file.get_slice(k).get_dtype(), file.get_slice(k).get_shape()]
                for k in file.keys()
            },
        }


def xgboost_models(folder, says):
    import xgboost as xgb

    def train(name, label, names=True, **params):
        kwargs = {"feature_names": columns} if names else {}
        data = xgb.DMatrix(x, label, **kwargs)
        booster = xgb.train({"max_depth": 2, "seed": 1, **params}, data, 3)
        config = json.loads(booster.save_config())["learner"]
        for ending in ["json", "ubj"]:
            booster.save_model(f"{folder}/{name}.{ending}")
            says[f"{name}.{ending}"] = {
                "features": booster.num_features(),
                "featureNames": booster.feature_names or [],
                "objective": config["objective"]["name"],
                "booster": config["gradient_booster"]["name"],
                "version": list(map(int, xgb.__version__.split("."))),
                "output": shape_of(booster.predict(data)),
            }

    train("binary", y, objective="binary:logistic")
    train("softprob", y3, objective="multi:softprob", num_class=3)
    train("softmax", y3, objective="multi:softmax", num_class=3)
    train("targets", np.stack([x[:, 0], x[:, 1]], 1), objective="reg:squarederror")
    train("unnamed", y, names=False, objective="reg:squarederror", booster="dart")
    train("linear", y, objective="reg:squarederror", booster="gblinear")


def lightgbm_models(folder, says):
    import lightgbm as lgb

    for name, label, params in [
        ("lgb-binary", y, {"objective": "binary"}),
        ("lgb-multi", y3, {"objective": "multiclass", "num_class": 3}),
    ]:
        data = lgb.Dataset(x, label, feature_name=columns)
        params = {**params, "verbose": -1, "min_data_in_leaf": 2, "num_threads": 1}
        booster = lgb.train(params, data, 3)
        booster.save_model(f"{folder}/{name}.txt")
        says[f"{name}.txt"] = {
            "featureNames": booster.feature_name(),
            "features": booster.num_feature(),
            "output": shape_of(booster.predict(x)),
        }


def mlflow_model(folder, says):
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema
    import joblib
    from sklearn.linear_model import LogisticRegression
    import sklearn

    os.mkdir(f"{folder}/sklearn")
    joblib.dump(LogisticRegression().fit(x, y), f"{folder}/sklearn/model.pkl")
    joblib.dump(LogisticRegression().fit(x, y), f"{folder}/pickle.pkl")
    model = Model(
        artifact_path="model",
        signature=ModelSignature(
            inputs=Schema([ColSpec("double", name) for name in columns]),
            outputs=Schema([ColSpec("long", "late")]),
        ),
    )
    model.add_flavor(
        "python_function",
        loader_module="mlflow.sklearn",
        model_path="model.pkl",
        python_version="3.11.7",
    )
    model.add_flavor(
        "sklearn",
        pickled_model="model.pkl",
        sklearn_version=sklearn.__version__,
        serialization_format="cloudpickle",
    )
    model.save(f"{folder}/sklearn/MLmodel")
    loaded = Model.load(f"{folder}/sklearn/MLmodel")
    says["sklearn"] = {
        "flavors": list(loaded.flavors),
        "modelUuid": loaded.model_uuid,
        "libraryVersion": sklearn.__version__,
        "inputs": loaded.signature.inputs.input_names(),
    }


def models(folder):
    says = {}
    for make in [
        onnx_model,
        safetensors_model,
        xgboost_models,
        lightgbm_models,
        mlflow_model,
    ]:
        make(folder, says)
    print(json.dumps(says))


def events(folder):
    import time

    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.plugins.scalar import summary_v2  # noqa: F401
    from tensorboard.plugins.scalar import metadata
    from tensorboard.util import tensor_util
    from tensorboardX import SummaryWriter

    # TensorFlow 2's form: tensors, the plugin named in the first event alone.
    writer = EventFileWriter(f"{folder}/tensorboard")
    for step in range(5):
        value = Summary.Value(
            tag="loss", tensor=tensor_util.make_tensor_proto(1 / (step + 1), dtype=np.float32)
        )
        if step == 0:
            value.metadata.CopyFrom(metadata.create_summary_metadata("loss", ""))
        writer.add_event(
            Event(wall_time=1000.5 + step, step=step, summary=Summary(value=[value]))
        )
    writer.close()

    with SummaryWriter(f"{folder}/tensorboardx") as tbx:
        for step in range(1500):
            tbx.add_scalar("train/loss", step / 2, step, walltime=2000 + step / 4)
        tbx.add_scalar("acc_best", 0.75, 3)
        tbx.add_histogram("weights", x, 1)
        tbx.add_text("note", "hello", 1)
        tbx.add_hparams({"rate": 0.5, "optimizer": "adam", "deep": True}, {"auc": 0.875}, name="h")


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata as hparams
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    events = EventAccumulator(folder, size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    says = {
        "scalars": {
            tag: [[e.step, e.wall_time, e.value] for e in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        },
        "hparams": {},
        "status": None,
    }
    for tag, content in events.PluginTagToContent("hparams").items():
        if tag == hparams.SESSION_START_INFO_TAG:
            start = hparams.parse_session_start_info_plugin_data(content)
            for key, value in start.hparams.items():
                says["hparams"][key] = getattr(value, value.WhichOneof("kind"))
        if tag == hparams.SESSION_END_INFO_TAG:
            says["status"] = hparams.parse_session_end_info_plugin_data(content).status
    print(json.dumps(says))


{"models": models, "events": events, "read": read}[sys.argv[1]](sys.argv[2])
