"""What MLflow's own client does with traces, as one line of JSON."""

import json
import os
import sys

os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

mlflow.set_tracking_uri(sys.argv[1])
experiment = mlflow.set_experiment("traced").experiment_id
client = MlflowClient()
got = {}


def failing(call):
    try:
        call()
    except MlflowException as error:
        return [error.error_code, error.message]
    return None


@mlflow.trace(span_type="TOOL", attributes={"k": 2**60, "half": 0.5, "list": [1, "a", None]})
def inner(x):
    return {"y": x + 1, "t": "é"}


@mlflow.trace
def outer(x):
    mlflow.update_current_trace(tags={"team": "ö"}, metadata={"mlflow.trace.session": "s1"})
    return inner(x)


@mlflow.trace(name="bad")
def bad():
    raise ValueError("boom")


outer(3)
first = mlflow.get_last_active_trace_id()
try:
    bad()
except ValueError:
    pass
second = mlflow.get_last_active_trace_id()
with mlflow.start_run() as run:
    outer(4)
third = mlflow.get_last_active_trace_id()


def shown(span):
    return {
        "name": span.name,
        "type": span.span_type,
        "status": str(span.status.status_code.value),
        "inputs": span.inputs,
        "outputs": span.outputs,
        "root": span.parent_id is None,
        "more": {k: span.attributes.get(k) for k in ("k", "half", "list")},
        "timed": span.end_time_ns >= span.start_time_ns > 10**18,
        "events": [event.name for event in span.events],
    }


trace = mlflow.get_trace(first)
got["info"] = {
    "state": trace.info.state.value,
    "preview": [trace.info.request_preview, trace.info.response_preview],
    "tags": {k: trace.info.tags[k] for k in ("mlflow.traceName", "team")},
    "session": trace.info.trace_metadata["mlflow.trace.session"],
    "experiment": trace.info.experiment_id == experiment,
    "duration": trace.info.execution_duration >= 0,
}
got["spans"] = [shown(span) for span in trace.data.spans]
failed = client.get_trace(second)
got["failed"] = [failed.info.state.value, shown(failed.data.spans[0])]


def search(**more):
    return [t.info.trace_id for t in mlflow.search_traces(return_type="list", **more)]


order = [third, second, first]
got["found"] = {
    "all": search() == order,
    "up": search(order_by=["timestamp_ms ASC"]) == order[::-1],
    "error": search(filter_string="status = 'ERROR' AND name = 'bad'") == [second],
    "tag": search(filter_string="tag.team = 'ö'") == [third, first],
    "run": search(run_id=run.info.run_id) == [third],
    "span": search(filter_string="span.name = 'inner' AND span.type = 'TOOL'") == [third, first],
    "spans": [len(t.data.spans) for t in mlflow.search_traces(return_type="list")],
}
page = client.search_traces(locations=[experiment], max_results=2)
rest = client.search_traces(locations=[experiment], max_results=2, page_token=page.token)
got["pages"] = [len(page), len(rest), rest.token]
got["refused"] = failing(lambda: search(filter_string="foo = 'x'"))

client.set_trace_tag(first, "a", "b")
got["tagged"] = client.get_trace(first).info.tags["a"]
client.delete_trace_tag(first, "a")
got["untagged"] = "a" in client.get_trace(first).info.tags
got["no tag"] = failing(lambda: client.delete_trace_tag(first, "a"))
got["no trace"] = failing(lambda: client.get_trace("tr-nope"))

got["deleted"] = [
    client.delete_traces(experiment, trace_ids=[first]),
    client.delete_traces(experiment, max_timestamp_millis=2**45, max_traces=1),
    search() == [third],
]

print(json.dumps(got))
