"""Uses an Open Inference Protocol server with unmodified foreign clients; prints what they got.

usage: clients.py URL
"""

import json
import sys

import numpy
import tritonclient.http as triton
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.core.api_error import ApiError
from open_inference.openapi.errors import BadRequestError
from open_inference.openapi.types import InferenceRequest, RequestInput
from tritonclient.utils import InferenceServerException

url = sys.argv[1]
client = triton.InferenceServerClient(url.removeprefix("http://"))
answers = {}


def tensor(name, array, datatype, binary):
    value = triton.InferInput(name, list(array.shape), datatype)
    value.set_data_from_numpy(array, binary_data=binary)
    return value


def infer(model, array, datatype, binary, **more):
    outputs = [triton.InferRequestedOutput("y", binary_data=binary)]
    result = client.infer(
        model, [tensor("x", array, datatype, binary)], outputs=outputs, **more
    )
    values = result.as_numpy("y")
    return values, result.get_response()


def refusal(call):
    try:
        call()
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return None


answers["live"] = client.is_server_live()
answers["ready"] = client.is_server_ready()
answers["model_ready"] = client.is_model_ready("numbers")
answers["version_ready"] = client.is_model_ready("numbers", "2")
answers["nobody_ready"] = client.is_model_ready("nobody")
answers["server"] = client.get_server_metadata()
answers["model"] = client.get_model_metadata("numbers")
answers["config"] = client.get_model_config("numbers")

numbers = numpy.array([[1, 2, 3], [-4.5, numpy.float32(0.1), 6e10]], dtype=numpy.float32)
for binary in (False, True):
    kind = "binary" if binary else "json"
    values, response = infer("numbers", numbers, "FP32", binary, request_id="r1")
    answers[f"FP32 {kind}"] = bool((values == numbers + numbers).all())
    answers[f"id {kind}"] = [response["id"], response["model_name"], response["model_version"]]
    longs = numpy.array([[2**53 + 1], [-(2**61) + 7]], dtype=numpy.int64)
    values, _ = infer("longs", longs, "INT64", binary)
    answers[f"INT64 {kind}"] = bool((values == longs * 2).all())
    flags = numpy.array([[True, False], [False, False]])
    values, _ = infer("flags", flags, "BOOL", binary)
    answers[f"BOOL {kind}"] = bool((values == ~flags).all())
    words = numpy.array([["späť", ""], ["a" * 1000, "\u2713"]], dtype=numpy.object_)
    values, _ = infer("words", words, "BYTES", binary)
    decode = numpy.vectorize(lambda v: v.decode() if isinstance(v, bytes) else v)
    answers[f"BYTES {kind}"] = bool((decode(values) == words).all())

for algorithm in ("gzip", "deflate"):
    values, _ = infer(
        "numbers",
        numbers,
        "FP32",
        True,
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    answers[algorithm] = bool((values == numbers + numbers).all())

whole = client.infer("numbers", [tensor("x", numbers, "FP32", True)])
answers["all outputs"] = bool((whole.as_numpy("y") == numbers + numbers).all())
second, _ = infer("numbers", numbers, "FP32", True, model_version="2")
answers["version"] = bool((second == numbers * numbers).all())
waiting = [client.async_infer("numbers", [tensor("x", numbers, "FP32", True)]) for _ in range(20)]
answers["async"] = all((w.get_result().as_numpy("y") == numbers * 2).all() for w in waiting)

answers["bad name"] = refusal(
    lambda: client.infer("numbers", [tensor("z", numbers, "FP32", True)])
)
answers["bad type"] = refusal(
    lambda: client.infer("numbers", [tensor("x", numbers.astype(numpy.int64), "INT64", True)])
)
answers["bad shape"] = refusal(
    lambda: client.infer("numbers", [tensor("x", numbers[:, :2], "FP32", True)])
)
answers["bad output"] = refusal(
    lambda: client.infer(
        "numbers",
        [tensor("x", numbers, "FP32", True)],
        outputs=[triton.InferRequestedOutput("nope")],
    )
)
answers["no model"] = refusal(
    lambda: client.infer("nobody", [tensor("x", numbers, "FP32", True)])
)
answers["classification"] = refusal(
    lambda: client.infer(
        "numbers",
        [tensor("x", numbers, "FP32", True)],
        outputs=[triton.InferRequestedOutput("y", class_count=2)],
    )
)
answers["sequence"] = refusal(
    lambda: client.infer(
        "numbers", [tensor("x", numbers, "FP32", True)], sequence_id=7, sequence_start=True
    )
)

client.load_model("numbers")
answers["index"] = client.get_model_repository_index()
answers["statistics"] = client.get_inference_statistics("numbers")
answers["all statistics"] = len(client.get_inference_statistics()["model_stats"])
client.unload_model("flags")
answers["index after unload"] = client.get_model_repository_index()

other = OpenInferenceClient(base_url=url)
other.check_server_liveness()
other.check_server_readiness()
other.check_model_readiness("numbers")
answers["open-inference server"] = other.read_server_metadata().dict()["name"]
answers["open-inference model"] = json.loads(other.read_model_metadata("numbers").json())
request = InferenceRequest(
    id="o1", inputs=[RequestInput(name="x", shape=[1, 3], datatype="FP32", data=[1, 2, 3])]
)
answered = other.model_infer("numbers", request=request)
answers["open-inference infer"] = json.loads(answered.json())
wrong = InferenceRequest(
    inputs=[RequestInput(name="z", shape=[1, 3], datatype="FP32", data=[1, 2, 3])]
)
try:
    other.model_infer("numbers", request=wrong)
except BadRequestError as error:
    answers["open-inference bad request"] = error.status_code
try:
    other.read_model_metadata("nobody")
except ApiError as error:
    answers["open-inference not found"] = error.status_code

print(json.dumps(answers))
