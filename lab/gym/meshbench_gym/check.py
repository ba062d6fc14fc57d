"""Checks the environments, and trains Stable-Baselines3's PPO on them.

    python -m meshbench_gym.check [--steps N] [OPTION=VALUE ...]

OPTIONs are those of `meshbench gym`. It prints a line of JSON.
"""

import argparse
import json
import time
import warnings

import numpy as np
from gymnasium.utils.env_checker import check_env

from . import Env, VectorEnv


def check(options):
    """gymnasium's own check, and that a vector of environments is as many single ones."""
    env = Env(**options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*Box observation space (minimum|maximum) value is")  # loads have no bound
        warnings.filterwarnings("ignore", "(?s).*spec")  # it was not made by gymnasium.make
        check_env(env, skip_render_check=True)
    n, length = 3, env.client.length
    many = VectorEnv(n, **options)
    seeds = [5, 6, 7]
    obs, _ = many.reset(seed=seeds)
    rng = np.random.default_rng(1)
    actions = rng.integers(many.client.heads, size=(min(length, 50), n, len(many.client.heads)))
    rows = []
    for a in actions:
        obs, rewards, terminated, _, _ = many.step(a.reshape(many.action_space.shape))
        assert not terminated.any()
        rows.append((obs, rewards))
    for k, seed in enumerate(seeds):
        first, _ = env.client.reset([True], [seed])
        for a, (obs, rewards) in zip(actions[: length - 1], rows):
            one, reward, _, _ = env.client.step(a[k])
            assert (one[0] == obs[k]).all() and reward[0] == rewards[k], (seed, a[k])
    env.close()
    many.reset(seed=1)
    for t in range(1, length + 1):
        _, _, terminated, truncated, info = many.step(many.action_space.sample())
        assert not terminated.any() and truncated.all() == (t == length) and ("final_obs" in info) == (t == length), t
    many.close()


def rate(options, n, steps):
    """Steps a second of n environments under random actions, without a learner."""
    envs = VectorEnv(n, **options)
    envs.reset(seed=1)
    actions = [envs.action_space.sample() for _ in range(64)]
    begin = time.perf_counter()
    for t in range(steps // n):
        envs.step(actions[t % 64])
    seconds = time.perf_counter() - begin
    envs.close()
    return steps / seconds


def score(client, model):
    """ANR of a policy."""
    choices, _ = model.predict(client.scored(), deterministic=True)
    return client.score(choices)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000, help="of the training")
    parser.add_argument("--envs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("options", nargs="*", metavar="OPTION=VALUE")
    args = parser.parse_args()
    options = dict(o.split("=", 1) for o in args.options)
    check(options)
    out = {"check_env": "passes", "steps_per_second": {str(n): round(rate(options, n, 40_000)) for n in (1, 8, 64)}}

    import stable_baselines3
    import torch
    from stable_baselines3.common.callbacks import BaseCallback

    from .sb3 import Sb3VecEnv

    torch.set_num_threads(1)
    envs = Sb3VecEnv(args.envs, **options)
    model = stable_baselines3.PPO("MlpPolicy", envs, learning_rate=1e-3, n_steps=1024 // args.envs, batch_size=64, gamma=0.0, seed=args.seed, device="cpu")
    best = 0.0

    class Keep(BaseCallback):
        """Scores the policy after every rollout, as Meshbench's own training keeps the best of its curve."""

        def _on_step(self):
            return True

        def _on_rollout_start(self):
            nonlocal best
            best = max(best, score(envs.client, self.model))

    begin = time.perf_counter()
    model.learn(args.steps, callback=Keep() if envs.client.loads else None)
    seconds = time.perf_counter() - begin
    out |= {"learner": "Stable-Baselines3 " + stable_baselines3.__version__, "title": envs.client.title, "steps": args.steps, "seconds": round(seconds, 1),
            "training_steps_per_second": round(args.steps / seconds)}
    if envs.client.loads:  # none where knobs take their time
        last = score(envs.client, model)
        out |= {"ANR": round(last, 4), "best_ANR": round(max(best, last), 4)}
    envs.close()
    print(json.dumps(out))


if __name__ == "__main__":
    main()
