"""Forests of 120 unlimited trees that look at all features, as ours by default."""
import io
import os
import shutil
import subprocess
import tempfile

import numpy as np

from peer import growth, processor_seconds, resident, seconds

TREES = 120
TRACE = "fit, trace"


def accuracy(y, predicted):
    """The outputs' mean NMAE and R2."""
    error = y - predicted
    return {
        "NMAE": np.mean(np.abs(error).mean(0) / y.mean(0)),
        "R2": np.mean(1 - (error**2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)),
    }


def each_output(fit):
    """A learner of one output as one of several: a model each."""

    def learn(x, y):
        models = [fit(x, np.ascontiguousarray(y[:, k])) for k in range(y.shape[1])]
        return lambda rows: np.column_stack([m(rows) for m in models])

    return learn


def shapes(data, learn, every=True):
    """Fits of the trace and, for the fastest, of other numbers of features and outputs."""
    names = [TRACE] + (data.meta["forms"] if every else [])
    for name in names:
        x, y, models = data[f"{name}.x"], data[f"{name}.y"], []
        t = processor_seconds(lambda: models.append(learn(x, y)))
        test = data[f"{name}.testy"]
        data.case(name, t, **accuracy(test, np.asarray(models[0](data[f"{name}.testx"])).reshape(test.shape)))


def scikit_learn(data):
    import joblib
    import sklearn
    from sklearn.ensemble import RandomForestRegressor

    def learn(jobs):
        def f(x, y):
            model = RandomForestRegressor(n_estimators=TREES, random_state=data.meta["round"], n_jobs=jobs)
            return model.fit(x, y)

        return f

    shapes(data, lambda x, y: learn(1)(x, y).predict)
    data.all_cores()
    x, y = data[f"{TRACE}.x"], data[f"{TRACE}.y"]
    data.case("fit on all cores, trace", seconds(lambda: learn(len(data.cores))(x, y)))
    data.one_core()
    model, tx = learn(1)(x, y), data[f"{TRACE}.testx"]
    data.case("one-row prediction", np.median([seconds(lambda: model.predict(tx[k : k + 1])) for k in range(50)]))
    grid = data["grid"]
    data.case("20,736-row table", seconds(lambda: model.predict(grid)))
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    data.case("model file", buffer.tell())
    return "scikit-learn " + sklearn.__version__


def sizes(data):
    """Memory and time of fits on all cores, by number of rows."""
    import sklearn
    from sklearn.ensemble import RandomForestRegressor

    data.all_cores()
    x, y = data[f"{TRACE}.x"], data[f"{TRACE}.y"]
    for n in data.meta["sizes"]:
        rows = data["sample"][0, :n].astype(int)
        model = RandomForestRegressor(n_estimators=TREES, random_state=0, n_jobs=len(data.cores))
        before = resident()
        data.case(f"rows {n}", seconds(lambda: model.fit(x[rows], y[rows])), peak=growth(before))
        del model
    return "scikit-learn " + sklearn.__version__


def intelex(data):
    from importlib.metadata import version

    from sklearnex.ensemble import RandomForestRegressor

    def fit(x, y):
        return RandomForestRegressor(n_estimators=TREES, random_state=data.meta["round"], n_jobs=1).fit(x, y).predict

    shapes(data, each_output(fit), every=False)
    return "oneDAL " + version("scikit-learn-intelex") + ", a model each output"


def biosphere(data):
    from importlib.metadata import version

    from biosphere import RandomForest

    def fit(x, y):
        model = RandomForest(n_estimators=TREES, max_depth=None, max_features=None, n_jobs=1, random_state=data.meta["round"])
        model.fit(x, y)
        return model.predict

    shapes(data, each_output(fit))
    return "biosphere " + version("biosphere") + ", a model each output"


def lightgbm(data):
    import lightgbm as lgb

    # More leaves take longer and predict no better.
    settings = {
        "objective": "regression", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.632, "num_leaves": 1024,
        "max_depth": -1, "min_data_in_leaf": 1, "min_data_in_bin": 1, "min_sum_hessian_in_leaf": 0, "num_threads": 1,
        "seed": data.meta["round"], "verbose": -1,
    }

    def fit(x, y):
        return lgb.train(settings, lgb.Dataset(x, y), num_boost_round=TREES).predict

    shapes(data, each_output(fit), every=False)
    return "LightGBM " + lgb.__version__ + " in rf mode, a model each output"


def ydf(data):
    import ydf as y_

    y_.verbose(0)

    def table(x):
        return {f"f{k}": np.ascontiguousarray(x[:, k]) for k in range(x.shape[1])}

    def fit(x, y):
        learner = y_.RandomForestLearner(
            label="y", task=y_.Task.REGRESSION, num_trees=TREES, max_depth=-1, min_examples=1, compute_oob_performances=False,
            num_candidate_attributes_ratio=1.0, num_threads=1, random_seed=data.meta["round"])
        model = learner.train(dict(table(x), y=y))
        return lambda rows: model.predict(table(rows))

    shapes(data, each_output(fit), every=False)
    return "YDF " + y_.__version__ + ", a model each output"


def ranger(data):
    """R's ranger, by a script of its own."""
    if not shutil.which("Rscript"):
        raise FileNotFoundError("Rscript is not installed; Debian and Ubuntu: apt install r-cran-ranger")
    with tempfile.TemporaryDirectory() as dir:
        for name in ("x", "y", "testx"):
            np.savetxt(f"{dir}/{name}.csv", data[f"{TRACE}.{name}"], delimiter=",", fmt="%.17g")
        r = subprocess.run(["Rscript", os.path.join(os.path.dirname(__file__), "ranger.R"), dir, str(TREES), str(data.meta["round"])],
                           capture_output=True, text=True)
        if r.returncode:
            raise RuntimeError(r.stderr.strip()[-200:])
        version, taken = r.stdout.split()
        predicted = np.loadtxt(f"{dir}/predicted.csv", delimiter=",")
    data.case(TRACE, float(taken), **accuracy(data[f"{TRACE}.testy"], predicted))
    return "ranger " + version + ", a model each output"


def quantile_forest(data):
    from importlib.metadata import version

    from quantile_forest import RandomForestQuantileRegressor

    model = RandomForestQuantileRegressor(n_estimators=TREES, random_state=data.meta["round"], n_jobs=1)
    model.fit(data[f"{TRACE}.x"], data[f"{TRACE}.y"])
    rows, y = data[f"{TRACE}.testx"][:1000], data[f"{TRACE}.testy"][:1000]
    out = []
    t = processor_seconds(lambda: out.append(model.predict(rows, quantiles=[0.95])))
    data.case("95th percentiles of 1,000 rows", t, **{"rows below": np.mean(y <= np.asarray(out[0]).reshape(y.shape))})
    return "quantile-forest " + version("quantile-forest")
