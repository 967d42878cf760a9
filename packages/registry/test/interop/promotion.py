"""A promotion blocked and then approved, through MLflow's own client; prints what it got.

usage: promotion.py URL
"""

import json
import os
import sys
import urllib.request

os.environ.update(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_DISABLE_TELEMETRY="true", GIT_PYTHON_REFRESH="quiet")

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException

url = sys.argv[1]
answers = {}


def as_user(name):
    os.environ["MLFLOW_TRACKING_TOKEN"] = name
    return MlflowClient(tracking_uri=url, registry_uri=url)


def governed(name, method, path, body=None):
    request = urllib.request.Request(
        f"{url}/api/ashlar/registry/{path}",
        data=None if body is None else json.dumps(body).encode(),
        method=method,
        headers={"authorization": f"Bearer {name}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def refusal(call):
    try:
        call()
    except RestException as error:
        return [type(error).__name__, error.error_code, error.get_http_status_code(), str(error)]
    except MlflowException as error:
        return [type(error).__name__, error.error_code, None, str(error)]
    return None


bot = as_user("bot")


def champion():
    return bot.get_model_version_by_alias("flights", "champion").version


answers["without a request"] = refusal(lambda: bot.set_registered_model_alias("flights", "champion", "1"))
request = governed("bot", "POST", "promotions", {"name": "flights", "alias": "champion", "version": 1})
answers["asked"] = [request["status"], [gate["gate"] for gate in request["gates"] if not gate["passed"]]]
answers["blocked"] = refusal(lambda: bot.set_registered_model_alias("flights", "champion", "1"))
governed("anna", "POST", f"promotions/{request['id']}/approve", {"comment": "looks right"})
answers["one approval"] = refusal(lambda: bot.set_registered_model_alias("flights", "champion", "1"))
answers["nobody yet"] = refusal(champion)
governed("ben", "POST", f"promotions/{request['id']}/approve")
answers["approved"] = refusal(lambda: bot.set_registered_model_alias("flights", "champion", "1"))
answers["champion"] = champion()
answers["another version"] = refusal(lambda: bot.set_registered_model_alias("flights", "champion", "2"))
answers["removal"] = refusal(lambda: bot.delete_registered_model_alias("flights", "champion"))
answers["free alias"] = refusal(lambda: bot.set_registered_model_alias("flights", "canary", "2"))
said = governed("bot", "GET", "models/flights/champion?alias=champion")["champion"]
answers["who"] = [said["version"], said["by"], [vote["by"] for vote in said["approvals"]]]

print(json.dumps(answers))
