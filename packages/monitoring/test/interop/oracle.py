"""Answers one JSON request on stdin with what the scientific Python libraries compute."""
import json
import sys

import numpy as np


def tails(request):
    import mpmath as mp

    mp.mp.dps = 60
    out = []
    for name, *args in request["cases"]:
        a = [mp.mpf(x) for x in args]
        if name == "normal":
            value = mp.erfc(a[0] / mp.sqrt(2)) / 2
        elif name == "chi2":
            value = mp.gammainc(a[1] / 2, a[0] / 2, mp.inf, regularized=True)
        elif name == "student":
            t, v = a
            value = mp.betainc(v / 2, mp.mpf(1) / 2, 0, v / (v + t * t), regularized=True) / 2
        elif name == "kolmogorov":
            x = a[0]
            value = 1 - mp.sqrt(2 * mp.pi) / x * mp.nsum(
                lambda k: mp.exp(-((2 * k - 1) ** 2) * mp.pi**2 / (8 * x * x)), [1, 40]
            )
        out.append(float(value))
    return out


def ks(request):
    from scipy import special, stats

    a, b = np.array(request["a"]), np.array(request["b"])
    exact = stats.ks_2samp(a, b, method="exact")
    n, m = len(a), len(b)
    return {
        "statistic": exact.statistic,
        "exact": exact.pvalue,
        "limit": float(special.kolmogorov(np.sqrt(n * m / (n + m)) * exact.statistic)),
        "wasserstein": stats.wasserstein_distance(a, b),
    }


def chi2(request):
    from scipy import stats

    out = {}
    for name, yates in (("yates", True), ("plain", False)):
        r = stats.chi2_contingency(np.array(request["table"]), correction=yates)
        out[name] = [r.statistic, r.pvalue, r.dof]
    return out


def js(request):
    from scipy.spatial import distance

    return float(distance.jensenshannon(request["a"], request["b"], base=2))


def adjust(request):
    from statsmodels.stats.multitest import multipletests

    names = {"bh": "fdr_bh", "by": "fdr_by", "holm": "holm", "bonferroni": "bonferroni"}
    return {k: multipletests(request["p"], method=v)[1].tolist() for k, v in names.items()}


def metrics(request):
    from sklearn import metrics as m

    y, p = np.array(request["labels"]), np.array(request["scores"], dtype=np.float64)
    hard = (p >= 0.5).astype(int)
    return {
        "auc": float(m.roc_auc_score(y, p)),
        "logLoss": float(m.log_loss(y, p)),
        "brier": float(m.brier_score_loss(y, p)),
        "accuracy": float(m.accuracy_score(y, hard)),
        "precision": float(m.precision_score(y, hard)),
        "recall": float(m.recall_score(y, hard)),
    }


def delong(request):
    """DeLong 1988 as written: the O(P N) structural components, no ranks."""
    from scipy import stats

    y = np.array(request["labels"])
    scores = np.array([request["challenger"], request["champion"]])
    pos, neg = scores[:, y == 1], scores[:, y == 0]
    psi = (pos[:, :, None] > neg[:, None, :]) + 0.5 * (pos[:, :, None] == neg[:, None, :])
    v10, v01 = psi.mean(axis=2), psi.mean(axis=1)
    auc = psi.mean(axis=(1, 2))
    s = np.cov(v10) / pos.shape[1] + np.cov(v01) / neg.shape[1]
    var = s[0, 0] + s[1, 1] - 2 * s[0, 1]
    z = (auc[0] - auc[1]) / np.sqrt(var)
    return {"auc": auc.tolist(), "se": float(np.sqrt(var)), "p": float(stats.norm.sf(z))}


ANSWERS = {f.__name__: f for f in (tails, ks, chi2, js, adjust, metrics, delong)}

if __name__ == "__main__":
    requests = json.load(sys.stdin)
    json.dump([ANSWERS[r["do"]](r) for r in requests], sys.stdout)
