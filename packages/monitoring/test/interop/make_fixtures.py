"""Writes fixtures/trees-*.onnx and fixtures/trees.json: real models, rows, and SHAP values.

Needs numpy, scikit-learn, xgboost 3.2.0, onnx 1.23.2, onnxmltools 1.16.0 and skl2onnx 1.20.0. Run by
hand when a case is added.
"""
import json
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper

HERE = pathlib.Path(__file__).parent.parent / "fixtures"
rng = np.random.default_rng(7)


def data(rows, features, missing=0.05):
    x = rng.normal(size=(rows, features)).astype(np.float32)
    x[rng.random(x.shape) < missing] = np.nan
    filled = np.nan_to_num(x)
    target = filled[:, 0] * filled[:, 1] + filled[:, 2] + 0.3 * rng.normal(size=rows)
    return x, target.astype(np.float32)


def plain(x):
    return [[None if np.isnan(v) else float(v) for v in row] for row in x]


def xgb(name, objective, trees, depth):
    import xgboost
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    x, t = data(300, 5)
    binary = objective == "binary:logistic"
    y = (t > 0).astype(int) if binary else t
    kind = xgboost.XGBClassifier if binary else xgboost.XGBRegressor
    model = kind(n_estimators=trees, max_depth=depth, base_score=0.5, n_jobs=1, objective=objective)
    model.fit(x, y)
    onx = convert_xgboost(model, initial_types=[("features", FloatTensorType([None, 5]))])
    onnx.save(onx, HERE / f"trees-{name}.onnx")
    d = xgboost.DMatrix(x)
    booster = model.get_booster()
    return {
        "name": name, "rows": plain(x[:40]), "background": plain(x),
        "shap": booster.predict(d, pred_contribs=True)[:40].tolist(),
        "margin": booster.predict(d, output_margin=True)[:40].tolist(),
    }


def forest(name):
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    x, t = data(200, 4, 0)
    model = RandomForestClassifier(6, max_depth=4, random_state=1).fit(x, np.digitize(t, [-0.5, 0.5]))
    onx = to_onnx(model, x[:1], options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 3})
    onnx.save(onx, HERE / f"trees-{name}.onnx")
    return {"name": name, "rows": plain(x[:20]), "background": plain(x),
            "output": model.predict_proba(x)[:20].tolist()}


def member(name):
    """ai.onnx.ml 5: two trees with set membership, a missing value that goes the true way, a scale."""
    node = helper.make_node(
        "TreeEnsemble", ["features"], ["sum"], domain="ai.onnx.ml",
        n_targets=1, aggregate_function=1, post_transform=0, tree_roots=[0, 3],
        nodes_featureids=[0, 1, 0, 2, 1], nodes_missing_value_tracks_true=[1, 0, 0, 0, 1],
        nodes_modes=helper.make_tensor("m", TensorProto.UINT8, [5], [6, 0, 3, 0, 6]),
        nodes_splits=helper.make_tensor("s", TensorProto.FLOAT, [5], [0, 0.5, 2.0, -0.25, 0]),
        membership_values=helper.make_tensor("v", TensorProto.FLOAT, [6], [1, 3, float("nan"), 0, 1, float("nan")]),
        nodes_truenodeids=[1, 0, 2, 4, 5], nodes_trueleafs=[0, 1, 1, 0, 1],
        nodes_falsenodeids=[2, 1, 3, 4, 6], nodes_falseleafs=[0, 1, 1, 1, 1],
        leaf_targetids=[0] * 7,
        leaf_weights=helper.make_tensor("w", TensorProto.FLOAT, [7], [1.0, -2.0, 0.5, 3.0, 0.25, -1.5, 4.0]),
    )
    nodes = [
        node,
        helper.make_node("Mul", ["sum", "rate"], ["scaled"]),
        helper.make_node("Add", ["scaled", "base"], ["margin"]),
        helper.make_node("Sigmoid", ["margin"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes, name,
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor("rate", TensorProto.FLOAT, [1], [0.1]),
         helper.make_tensor("base", TensorProto.FLOAT, [1], [-0.3])],
    )
    model = helper.make_model(graph, opset_imports=[
        helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 5)], ir_version=10)
    onnx.save(model, HERE / f"trees-{name}.onnx")
    x = np.stack([rng.integers(0, 5, 60), rng.integers(0, 3, 60), rng.normal(size=60)], 1).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    return {"name": name, "rows": plain(x), "background": plain(x)}


if __name__ == "__main__":
    cases = [
        xgb("xgb-binary", "binary:logistic", 12, 4),
        xgb("xgb-regression", "reg:squarederror", 8, 12),
        forest("forest"),
        member("member"),
    ]
    (HERE / "trees.json").write_text(json.dumps(cases))
