"""Answers questions about files that Ashlar wrote, and writes files for it to read."""

import json
import os
import sys
import uuid


def read_parquet(folder):
    import pyarrow.parquet as pq

    answers = {}
    for name in sorted(os.listdir(folder)):
        file = pq.ParquetFile(os.path.join(folder, name))
        table = file.read()
        table.validate(full=True)
        answers[name] = {
            "types": {field.name: str(field.type) for field in table.schema},
            "groups": file.metadata.num_row_groups,
            "rows": table.num_rows,
            "metadata": {
                k.decode(): v.decode()
                for k, v in (file.metadata.metadata or {}).items()
                if k != b"ARROW:schema"
            },
            "codec": file.metadata.row_group(0).column(0).compression,
            "last": {k: str(v) for k, v in table.slice(table.num_rows - 1).to_pylist()[0].items()},
        }
    return answers


def write_parquet(folder):
    import datetime

    import pyarrow as pa
    import pyarrow.parquet as pq

    n = 5000
    utc = datetime.timezone.utc
    start = datetime.datetime(2001, 1, 13, 12, tzinfo=utc)
    times = [start + datetime.timedelta(seconds=i) for i in range(n)]
    words = [None if i % 9 == 0 else f"wörd{i % 50}" for i in range(n)]
    table = pa.table(
        {
            "number": pa.array([None if i % 10 == 0 else i / 4 for i in range(n)], pa.float64()),
            "whole": pa.array(range(n), pa.int16()),
            "text": pa.array(words, pa.string()),
            "large": pa.array(words, pa.large_string()),
            "coded": pa.array(words, pa.string()).dictionary_encode(),
            "seconds": pa.array(times, pa.timestamp("s", "UTC")),
            "millis": pa.array(times, pa.timestamp("ms", "UTC")),
            "micros": pa.array(times, pa.timestamp("us", "UTC")),
            "nanos": pa.array(times, pa.timestamp("ns", "UTC")),
            "day": pa.array([t.date() for t in times], pa.date32()),
            "flag": pa.array([None if i % 7 == 0 else i % 2 == 0 for i in range(n)]),
            "vector": pa.array([[i, i + 0.5] for i in range(n)], pa.list_(pa.float32(), 2)),
        }
    )
    for codec in ["none", "snappy", "zstd", "gzip", "brotli", "lz4"]:
        for version in ["1.0", "2.0"]:
            pq.write_table(
                table,
                os.path.join(folder, f"{codec}-{version}.parquet"),
                compression=codec,
                data_page_version=version,
                row_group_size=1500,
                data_page_size=4096,
                write_page_index=True,
            )
    return {"rows": n, "words": words}


def write_onnx(path):
    import onnx
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    graph = helper.make_graph([node], "sum", [x], [y], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return {}


def load_mlflow(folder):
    import mlflow.onnx
    import mlflow.pyfunc
    import numpy as np
    from mlflow.models import Model

    model = Model.load(folder)
    predicted = mlflow.pyfunc.load_model(folder).predict(
        np.array([[1, 2], [3, 4]], dtype=np.float32), params={"threshold": 0.25}
    )
    return {
        "signature": model.signature.to_dict(),
        "run_id": model.run_id,
        "uuid": model.model_uuid,
        "created": model.utc_time_created,
        "size": model.model_size_bytes,
        "metadata": model.metadata,
        "inputs": [i.name for i in mlflow.onnx.load_model(folder).graph.input],
        "predicted": predicted["y"].ravel().tolist(),
    }


def save_mlflow(folder):
    import mlflow.onnx
    import numpy as np
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    model = onnx.load(os.path.join(folder, "model.onnx"))
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(np.float32), (-1, 2), "x")]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, 1), "y")]),
    )
    mlflow.onnx.save_model(
        model,
        os.path.join(folder, "saved"),
        signature=signature,
        pip_requirements=["onnxruntime"],
        metadata={"by": "mlflow"},
    )
    return {}


def parse_lineage(events):
    from openlineage.client import event_v2, facet_v2, serde

    answers = []
    for event in events:
        facets = event["run"]["facets"]
        parent = facets["parent"]
        schema = event["inputs"][0]["facets"]["schema"]
        parsed = event_v2.RunEvent(
            eventType=event_v2.RunState[event["eventType"]],
            eventTime=event["eventTime"],
            producer=event["producer"],
            run=event_v2.Run(
                runId=event["run"]["runId"],
                facets={
                    "parent": facet_v2.parent_run.ParentRunFacet(
                        run=facet_v2.parent_run.Run(**parent["run"]),
                        job=facet_v2.parent_run.Job(**parent["job"]),
                    )
                },
            ),
            job=event_v2.Job(namespace=event["job"]["namespace"], name=event["job"]["name"]),
            inputs=[
                event_v2.InputDataset(
                    namespace=event["inputs"][0]["namespace"],
                    name=event["inputs"][0]["name"],
                    facets={
                        "schema": facet_v2.schema_dataset.SchemaDatasetFacet(
                            fields=[
                                facet_v2.schema_dataset.SchemaDatasetFacetFields(**f)
                                for f in schema["fields"]
                            ]
                        )
                    },
                )
            ],
        )
        theirs = serde.Serde.to_dict(parsed)
        uuid.UUID(parsed.run.runId)
        answers.append(
            {
                "schemaURL": theirs["schemaURL"],
                "parent": theirs["run"]["facets"]["parent"]["_schemaURL"],
                "schema": theirs["inputs"][0]["facets"]["schema"]["_schemaURL"],
                "version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet("x")._schemaURL,
                "error": facet_v2.error_message_run.ErrorMessageRunFacet("x", "y")._schemaURL,
                "job": facet_v2.job_type_job.JobTypeJobFacet("x", "y")._schemaURL,
                "output": facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet()._schemaURL,
                "fields": theirs["inputs"][0]["facets"]["schema"]["fields"],
            }
        )
    return answers


request = json.load(sys.stdin)
handler = globals()[request["do"]]
print(json.dumps(handler(request["with"]), default=str))
