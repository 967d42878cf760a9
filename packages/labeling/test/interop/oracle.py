"""Answers requests (a JSON list on stdin) with what crowd-kit, statsmodels and krippendorff say."""

import json
import sys
import warnings

import krippendorff
import numpy as np
import pandas as pd
from crowdkit.aggregation import DawidSkene, MajorityVote, OneCoinDawidSkene
from statsmodels.stats.inter_rater import cohens_kappa, fleiss_kappa

warnings.filterwarnings("ignore")


def table(probabilities, request):
    """Rows by task, columns by class; a class nobody answered has probability 0."""
    frame = probabilities.reindex(index=request["tasks"], columns=request["classes"])
    return frame.fillna(0).to_numpy().tolist()


def annotators(request):
    data = pd.DataFrame(request["rows"], columns=["task", "worker", "label"])
    answer = {"majority": table(MajorityVote().fit_predict_proba(data), request)}
    # A tolerance that is never met: both sides make the same number of iterations.
    for name, model in (("confusion", DawidSkene), ("one-coin", OneCoinDawidSkene)):
        fitted = model(n_iter=request["iterations"], tol=-1e9)
        answer[name] = table(fitted.fit_predict_proba(data), request)
        answer[name + "-balance"] = [
            float(fitted.priors_.get(label, 0)) for label in request["classes"]
        ]
        if name == "one-coin":
            answer["skills"] = [float(fitted.skills_[w]) for w in request["workers"]]
    return answer


def agreement(request):
    ratings = np.array(
        [[np.nan if v is None else v for v in row] for row in request["ratings"]], dtype=float
    )
    return {
        "krippendorff": {
            level: float(krippendorff.alpha(ratings, level_of_measurement=level))
            for level in ("nominal", "ordinal", "interval", "ratio")
        },
        "cohen": {
            "none": float(cohens_kappa(request["table"], return_results=False)),
            "linear": float(cohens_kappa(request["table"], wt="linear", return_results=False)),
            "quadratic": float(
                cohens_kappa(request["table"], wt="quadratic", return_results=False)
            ),
        },
        "fleiss": float(fleiss_kappa(np.array(request["counts"]), method="fleiss")),
    }


print(json.dumps([globals()[r["kind"]](r) for r in json.load(sys.stdin)]))
