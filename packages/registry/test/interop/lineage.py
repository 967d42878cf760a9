"""Sends events with OpenLineage's own client; prints what it got.

usage: lineage.py URL
"""

import json
import sys
import urllib.request
from urllib.parse import quote

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import schema_dataset

url = sys.argv[1]
client = OpenLineageClient(config={"transport": {"type": "http", "url": url, "auth": {"type": "api_key", "apiKey": "etl"}}})
stranger = OpenLineageClient(config={"transport": {"type": "http", "url": url, "auth": {"type": "api_key", "apiKey": "max"}}})
run = Run(runId="0190b6f0-0000-7000-8000-00000000000a")
job = Job(namespace="airflow", name="features.build")
raw = InputDataset(
    namespace="s3://lake",
    name="raw/flights",
    facets={"schema": schema_dataset.SchemaDatasetFacet(fields=[schema_dataset.SchemaDatasetFacetFields(name="delay", type="int")])},
)
features = OutputDataset(namespace="s3://lake", name="features/flights")


def event(state, time, **lists):
    return RunEvent(eventType=state, eventTime=time, run=run, job=job, producer="https://example.org/etl", **lists)


client.emit(event(RunState.START, "2026-11-22T10:00:00.123456Z", inputs=[raw]))
client.emit(event(RunState.COMPLETE, "2026-11-22T12:00:01+02:00", inputs=[raw], outputs=[features]))
client.emit(event(RunState.COMPLETE, "2026-11-22T12:00:01+02:00", inputs=[raw], outputs=[features]))

answers = {}
try:
    stranger.emit(event(RunState.FAIL, "2026-11-22T10:00:02Z"))
    answers["stranger"] = None
except Exception as error:
    answers["stranger"] = str(error)

request = urllib.request.Request(
    f"{url}/api/ashlar/registry/lineage?namespace={quote('s3://lake', safe='')}&dataset={quote('raw/flights', safe='')}",
    headers={"authorization": "Bearer etl"},
)
with urllib.request.urlopen(request) as answer:
    graph = json.loads(answer.read())
answers["nodes"] = [[node["kind"], node["label"]] for node in graph["nodes"]]
print(json.dumps(answers))
