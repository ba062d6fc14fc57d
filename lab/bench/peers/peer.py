"""One measurement of a peer: peer.py CASE FOLDER prints it as JSON.

FOLDER holds what the Go side wrote: meta.json, and float64 matrices row by row:
trainx, trainy, testx, testy, grid, rewards (16 loads x 1,296 actions), and sample
(numbers of training rows).
"""
import io
import json
import resource
import sys
import time

import numpy as np


def matrix(folder, meta, name):
    return np.fromfile(f"{folder}/{name}.f64").reshape(meta[name])


def resident():
    """Memory of this process in bytes, now and at most so far."""
    with open("/proc/self/statm") as f:
        now = int(f.read().split()[1]) * resource.getpagesize()
    return now, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def growth(before):
    """Growth since resident() gave before: of the peak if it rose, else of what is held."""
    after = resident()
    return max(after[0], after[1] if after[1] > before[1] else 0) - before[0]


def forest(case, folder, meta):
    import joblib
    import sklearn
    from sklearn.ensemble import RandomForestRegressor

    x, y = matrix(folder, meta, "trainx"), matrix(folder, meta, "trainy")
    tx, ty = matrix(folder, meta, "testx"), matrix(folder, meta, "testy")
    if case.startswith("fit-size-"):
        rows = matrix(folder, meta, "sample")[0, : int(case.removeprefix("fit-size-"))].astype(int)
        x, y = x[rows], y[rows]
    model = RandomForestRegressor(n_estimators=120, random_state=0, n_jobs=1 if case == "fit-one" else meta["cores"])
    before = resident()
    begin = time.perf_counter()
    model.fit(x, y)
    out = {"version": "scikit-learn " + sklearn.__version__, "fit": time.perf_counter() - begin, "peak": growth(before)}
    if case.startswith("fit-size-"):
        return out
    out["nmae"] = list(np.abs(ty - model.predict(tx)).mean(0) / ty.mean(0))
    if case == "fit-all":
        return out
    times = []
    for k in range(100):
        begin = time.perf_counter()
        model.predict(tx[k : k + 1])
        times.append(time.perf_counter() - begin)
    out["row"] = float(np.median(times))
    grid = matrix(folder, meta, "grid")
    begin = time.perf_counter()
    model.predict(grid)
    out["table"] = time.perf_counter() - begin
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    out["bytes"] = buffer.tell()
    return out


def ppo(case, folder, meta):
    import gymnasium
    import stable_baselines3
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import DummyVecEnv

    torch.set_num_threads(1)
    rewards = matrix(folder, meta, "rewards")
    best = rewards.max(1)
    values = np.array([5.0, 10.0, 15.0, 20.0], dtype=np.float32)
    weights = np.array([216, 36, 6, 1])

    class Env(gymnasium.Env):
        """The tabulated simulator: a new load every step."""

        def __init__(self, seed):
            self.rng = np.random.default_rng(seed)
            self.observation_space = gymnasium.spaces.Box(0, 20, (2,), np.float32)
            self.action_space = gymnasium.spaces.MultiDiscrete([6, 6, 6, 6])

        def _draw(self):
            self.load = int(self.rng.integers(16))
            return np.array([values[self.load // 4], values[self.load % 4]], dtype=np.float32)

        def reset(self, *, seed=None, options=None):
            return self._draw(), {}

        def step(self, action):
            r = rewards[self.load, int(weights @ action)]
            return self._draw(), float(r), False, False, {}

    loads = np.array([[a, b] for a in values for b in values], dtype=np.float32)

    class Evaluate(BaseCallback):
        def __init__(self):
            super().__init__()
            self.row, self.reached, self.begin = 0, None, time.perf_counter()

        def _on_step(self):
            return self.row < 3

        def _on_rollout_start(self):
            actions, _ = self.model.predict(loads, deterministic=True)
            anr = float(np.mean(rewards[np.arange(16), actions @ weights] / best))
            self.row = self.row + 1 if anr >= 0.98 else 0
            if self.row == 1:
                self.reached = time.perf_counter() - self.begin

    envs = 1 if case == "ppo-anr" else int(case.split("-")[-1])
    before = resident()
    vec = DummyVecEnv([lambda k=k: Env(k) for k in range(envs)])
    model = PPO("MlpPolicy", vec, learning_rate=1e-3, n_steps=1024 // envs, batch_size=64, gamma=0.0, seed=meta["round"], device="cpu")
    out = {"version": "Stable-Baselines3 " + stable_baselines3.__version__}
    if case == "ppo-anr":
        watch = Evaluate()
        model.learn(200_000, callback=watch)
        out["seconds"] = watch.reached if watch.row >= 3 else None
        return out
    model.learn(2048)
    steps = 8 * 1024
    begin = time.process_time()
    model.learn(steps, reset_num_timesteps=False)
    out["steps_per_cpu_second"] = steps / (time.process_time() - begin)
    out["peak"] = growth(before)
    return out


def main():
    case, folder = sys.argv[1:]
    meta = json.load(open(f"{folder}/meta.json"))
    json.dump((forest if case.startswith("fit") else ppo)(case, folder, meta), sys.stdout)


main()
