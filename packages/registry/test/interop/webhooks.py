"""Keeps webhooks on a server with MLflow's client, makes every event happen, and reports."""

import json
import sys

from mlflow import MlflowClient
from mlflow.exceptions import RestException

server, target = sys.argv[1], sys.argv[2]
client = MlflowClient(server, server)
seen = {}

events = [
    "registered_model.created",
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
    "prompt.created",
    "prompt_version.created",
    "prompt_tag.set",
    "prompt_tag.deleted",
    "prompt_version_tag.set",
    "prompt_version_tag.deleted",
    "prompt_alias.created",
    "prompt_alias.deleted",
]
hook = client.create_webhook("everything", target, events, description="d", secret="s3cret")
seen["created"] = [hook.name, sorted(str(e) for e in hook.events), str(hook.status), hook.description]

other = client.create_webhook("other", target + "/other", ["prompt.created"])
other = client.update_webhook(other.webhook_id, status="DISABLED", events=["prompt_tag.set"])
seen["updated"] = [str(other.status), [str(e) for e in other.events]]
seen["listed"] = sorted(w.name for w in client.list_webhooks())
seen["got"] = client.get_webhook(hook.webhook_id).name
tested = client.test_webhook(hook.webhook_id, "model_version.created")
seen["tested"] = [tested.success, tested.response_status, tested.response_body]
tested = client.test_webhook(other.webhook_id)
seen["tested other"] = [tested.success, tested.response_status]

client.create_registered_model("flights", tags={"team": "delay"}, description="late?")
client.create_model_version("flights", "s3://bucket/1", tags={"kind": "gbdt"}, description="first")
client.create_model_version("flights", "s3://bucket/2")
client.set_model_version_tag("flights", "1", "k", "v")
client.delete_model_version_tag("flights", "1", "k")
client.set_registered_model_alias("flights", "champion", "1")
client.set_registered_model_alias("flights", "champion", "2")
client.delete_registered_model_alias("flights", "champion")
client.set_registered_model_tag("flights", "quiet", "yes")

client.register_prompt("greeting", "Hello {{name}}", commit_message="one", tags={"by": "ada"})
client.set_prompt_tag("greeting", "k", "v")
client.delete_prompt_tag("greeting", "k")
client.set_prompt_version_tag("greeting", "1", "k", "v")
client.delete_prompt_version_tag("greeting", "1", "k")
client.set_prompt_alias("greeting", "live", 1)
client.delete_prompt_alias("greeting", "live")


def code(call):
    try:
        call()
    except RestException as error:
        return error.error_code


seen["bad event"] = code(lambda: client.create_webhook("x", target, ["registered_model.created"] * 0))
client.delete_webhook(other.webhook_id)
seen["deleted"] = code(lambda: client.get_webhook(other.webhook_id))
seen["id"] = hook.webhook_id
print(json.dumps(seen))
