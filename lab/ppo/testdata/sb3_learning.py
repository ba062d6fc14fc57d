"""Writes sb3_learning.json: how Stable-Baselines3 learns the contextual bandit
of env_test.go at the default setting, as the mean reward of each rollout.

    venv/bin/python sb3_learning.py > sb3_learning.json    (venv as for sb3_reference.py; about 1 min)
"""

import json
import sys

import gymnasium
import numpy as np
import stable_baselines3
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

LEVELS = np.array([0.25, 0.5, 0.75, 1], np.float32)
SEEDS, STEPS = 5, 16 * 1024


class Bandit(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 1, (2,), np.float32)
    action_space = gymnasium.spaces.MultiDiscrete([6, 6])

    def draw(self):
        self.context = LEVELS[self.np_random.integers(0, 4, 2)]
        return self.context

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return self.draw(), {}

    def step(self, action):
        a, b = map(float, self.context)
        x, y = action / 5
        reward = 1 - (abs(x - a * b) + abs(y - max(0, a - b))) / 2
        return self.draw(), reward, False, False, {}


class Rewards(BaseCallback):
    def __init__(self):
        super().__init__()
        self.means = []

    def _on_step(self):
        return True

    def _on_rollout_end(self):
        self.means.append(round(float(self.model.rollout_buffer.rewards.mean()), 4))


torch.set_num_threads(1)
curves = []
for seed in range(SEEDS):
    model = PPO("MlpPolicy", Bandit(), n_steps=1024, batch_size=64, learning_rate=1e-3, gamma=0.0, seed=seed, device="cpu")
    rewards = Rewards()
    model.learn(STEPS, callback=rewards)
    curves.append(rewards.means)
json.dump({"versions": {"stable-baselines3": stable_baselines3.__version__, "torch": torch.__version__}, "curves": curves},
          sys.stdout)
print()
