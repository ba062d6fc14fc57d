"""Scores of scikit-learn's forest on the published trace: sklearn_forest.py TRACE > sklearn_forest.json

The authors' settings: 120 trees of full depth for all four delays, 70 % of the
rows (of the actions) to learn from; means and standard deviations over five
splits. A delay of 0 counts as a delay, as the authors have it.
"""
import csv
import json
import sys

import numpy as np
import sklearn
from sklearn.ensemble import RandomForestRegressor

SPLITS = 5
FEATURES = ["l1", "l2", "p11", "p21", "b1", "b2"]
TARGETS = ["d11", "d12", "d21", "d22"]

with open(sys.argv[1]) as file:
    rows = list(csv.DictReader(file))
x = np.array([[float(r[n]) for n in FEATURES] for r in rows])
y = np.array([[float(r[n]) for n in TARGETS] for r in rows])
_, action = np.unique(x[:, 2:], axis=0, return_inverse=True)
action = action.reshape(-1)

out = []
for split, group in [("row", np.arange(len(x))), ("action", action)]:
    nmae, r2 = [], []
    for seed in range(SPLITS):
        order = np.random.default_rng(seed).permutation(group.max() + 1)
        train = np.isin(group, order[: round(0.7 * len(order))])
        model = RandomForestRegressor(n_estimators=120, random_state=seed, n_jobs=2).fit(x[train], y[train])
        truth, hat = y[~train], model.predict(x[~train])
        nmae.append(np.abs(truth - hat).mean(0) / truth.mean(0))
        r2.append(1 - ((truth - hat) ** 2).sum(0) / ((truth - truth.mean(0)) ** 2).sum(0))
    for k, name in enumerate(TARGETS):
        out.append({
            "split": split, "target": name,
            "nmae": round(float(np.mean(nmae, 0)[k]), 5), "nmae_sd": round(float(np.std(nmae, 0, ddof=1)[k]), 5),
            "r2": round(float(np.mean(r2, 0)[k]), 5), "r2_sd": round(float(np.std(r2, 0, ddof=1)[k]), 5),
        })
json.dump({"version": "scikit-learn " + sklearn.__version__, "splits": SPLITS, "scores": out}, sys.stdout, indent=1)
print()
