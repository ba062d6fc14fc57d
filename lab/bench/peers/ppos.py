"""PPO on the tabulated simulator: a new load each step, the reward of (load, action)."""
import time

import numpy as np

from peer import processor_seconds

LEVELS = 6


class Table:
    """Rewards of 16 loads x 1,296 actions, as all peers see them."""

    def __init__(self, data):
        self.rewards = data["rewards"].astype(np.float32)
        self.best = self.rewards.max(1)
        values = np.array([5.0, 10.0, 15.0, 20.0], dtype=np.float32)
        self.loads = np.array([[a, b] for a in values for b in values], dtype=np.float32)
        self.weights = np.array([216, 36, 6, 1])

    def anr(self, actions):
        return float(np.mean(self.rewards[np.arange(len(self.loads)), actions] / self.best))


def environment(table):
    """The table as a Gymnasium environment, with a head for each of the four choices."""
    import gymnasium

    class Env(gymnasium.Env):
        def __init__(self, seed):
            self.rng = np.random.default_rng(seed)
            self.observation_space = gymnasium.spaces.Box(0, 20, (2,), np.float32)
            self.action_space = gymnasium.spaces.MultiDiscrete([LEVELS] * 4)

        def _draw(self):
            self.load = int(self.rng.integers(len(table.loads)))
            return table.loads[self.load]

        def reset(self, *, seed=None, options=None):
            return self._draw(), {}

        def step(self, action):
            r = table.rewards[self.load, int(table.weights @ action)]
            return self._draw(), float(r), False, False, {}

    return Env


def new(PPO, data, table, envs):
    from stable_baselines3.common.vec_env import DummyVecEnv

    make = environment(table)
    vec = DummyVecEnv([lambda k=k: make(k) for k in range(envs)])
    return PPO("MlpPolicy", vec, learning_rate=1e-3, n_steps=1024 // envs, batch_size=64, gamma=0.0, seed=data.meta["round"], device="cpu")


def rates(data, PPO, environments):
    table = Table(data)
    for envs in environments:
        model = new(PPO, data, table, envs)
        model.learn(2048)
        steps = 8 * 1024
        t = processor_seconds(lambda: model.learn(steps, reset_num_timesteps=False))
        data.case(f"PPO, {envs} x {1024 // envs}", steps / t)


def time_to_anr(data, PPO, goal=0.98):
    from stable_baselines3.common.callbacks import BaseCallback

    table = Table(data)

    class Evaluate(BaseCallback):
        def __init__(self):
            super().__init__()
            self.row, self.first, self.begin = 0, None, time.perf_counter()

        def _on_step(self):
            return self.row < 3

        def _on_rollout_start(self):
            actions, _ = self.model.predict(table.loads, deterministic=True)
            self.row = self.row + 1 if table.anr(actions @ table.weights) >= goal else 0
            if self.row == 1:
                self.first = time.perf_counter() - self.begin

    watch = Evaluate()
    new(PPO, data, table, 1).learn(200_000, callback=watch)
    if watch.row >= 3:
        data.case(f"time to ANR {goal:g}, four heads of 6", watch.first)


def sb3(data):
    import stable_baselines3
    import torch

    torch.set_num_threads(1)
    rates(data, stable_baselines3.PPO, [1, 8])
    time_to_anr(data, stable_baselines3.PPO)
    return "Stable-Baselines3 " + stable_baselines3.__version__


def sbx(data):
    from importlib.metadata import version

    from sbx import PPO

    rates(data, PPO, [1, 8])
    time_to_anr(data, PPO)
    return "sbx " + version("sbx-rl")


def rejax(data):
    """All of a training is one compiled program; compilation is left out."""
    import os

    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    from importlib.metadata import version

    import gymnax
    import jax
    import jax.numpy as jnp
    from rejax import PPO

    table = Table(data)
    rewards, loads, best = jnp.asarray(table.rewards), jnp.asarray(table.loads), jnp.asarray(table.best)

    class Env:
        """As rejax takes one. Small: the first of the four choices alone, so that there is one head of six."""

        default_params = None

        def __init__(self, small):
            self.small = small

        def step(self, key, state, action, params):
            r = rewards[state, action * (216 if self.small else 1)]
            new = jax.random.randint(key, (), 0, len(loads))
            return loads[new] / 20, new, r, jnp.array(False), {}

        def reset(self, key, params):
            new = jax.random.randint(key, (), 0, len(loads))
            return loads[new] / 20, new

        def action_space(self, params=None):
            return gymnax.environments.spaces.Discrete(LEVELS if self.small else rewards.shape[1])

        def observation_space(self, params):
            return gymnax.environments.spaces.Box(0, 1, (2,))

    def algorithm(small, setting):
        algo = PPO.create(
            env=Env(small), num_envs=setting["environments"], num_steps=setting["steps"], num_epochs=setting["epochs"],
            num_minibatches=setting["environments"] * setting["steps"] // setting["batch"], learning_rate=setting["rate"], gamma=0.0,
            ent_coef=setting["entropy"], max_grad_norm=0.5, total_timesteps=setting["total"], eval_freq=setting["every"],
            skip_initial_evaluation=True, agent_kwargs={"activation": "tanh", "hidden_layer_sizes": (64, 64)})

        def anr(algo, ts, rng):
            actions = jnp.argmax(algo.actor.apply(ts.actor_ts.params, loads / 20, method="_action_dist").logits, -1)
            return jnp.mean(rewards[jnp.arange(len(loads)), actions * (216 if small else 1)] / best)

        return algo.replace(eval_callback=anr)

    def compiled(algo, seeds):
        keys = jax.random.split(jax.random.PRNGKey(data.meta["round"]), seeds)
        train = jax.jit(jax.vmap(lambda key: algo.train(key)[1]))
        return train.lower(keys).compile(), keys

    for name, small in (("head of 6", True), ("head of 1,296", False)):
        setting = data.meta["speed"]
        train, keys = compiled(algorithm(small, setting), 1)
        t = processor_seconds(lambda: jax.block_until_ready(train(keys)))
        data.case(f"PPO, {name}", setting["total"] / t)
    setting = data.meta["anr"]
    limit = 8 if data.meta["round"] == 0 else 1  # 64 had not ended after 41 minutes
    for seeds in [n for n in data.meta["seeds"] if n <= limit]:
        data.all_cores() if seeds > 1 else data.one_core()
        train, keys = compiled(algorithm(False, setting), seeds)
        begin = time.perf_counter()
        anr = np.asarray(jax.block_until_ready(train(keys))).reshape(seeds, -1)
        taken = time.perf_counter() - begin
        for goal in data.meta["goals"]:
            reached = sorted(f for f in (first_of_three(row >= goal) for row in anr) if f is not None)
            most = -(-9 * seeds // 10)  # nine in ten
            if len(reached) >= most:
                t = taken * (reached[most - 1] + 1) / anr.shape[1]
                data.case(f"time to ANR {goal:g}, head of 1,296, seeds: {seeds}", t, reached=len(reached))
    return "rejax " + version("rejax")


def first_of_three(good):
    """The first evaluation of three in a row that are good."""
    for k in range(len(good) - 2):
        if good[k] and good[k + 1] and good[k + 2]:
            return k
    return None


def sizes(data):
    """Steps per CPU-second by number of environments."""
    import stable_baselines3
    import torch

    torch.set_num_threads(1)
    rates(data, stable_baselines3.PPO, data.meta["environments"])
    return "Stable-Baselines3 " + stable_baselines3.__version__
