"""Reads online features with Feast's own client, its online store pointing at our server."""

import json
import os
import sys
import tempfile

os.environ["FEAST_USAGE"] = "False"

from feast import FeatureStore, RepoConfig

url = sys.argv[1]
requests = json.load(sys.stdin)
with tempfile.TemporaryDirectory() as folder:
    store = FeatureStore(
        config=RepoConfig(
            project="ashlar",
            registry=os.path.join(folder, "registry.db"),
            provider="local",
            online_store={"type": "remote", "path": url},
            entity_key_serialization_version=3,
        )
    )
    answers = []
    for request in requests:
        try:
            response = store.get_online_features(**request)
            answers.append(response.to_dict())
        except Exception as error:  # the test looks at what the client makes of our errors
            answers.append({"error": type(error).__name__, "message": str(error)})
print(json.dumps(answers))
