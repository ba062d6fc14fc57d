"""meshbench_gym.VectorEnv for Stable-Baselines3."""

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from . import VectorEnv


class Sb3VecEnv(VecEnv):
    """n environments of one process as a VecEnv."""

    def __init__(self, n, **options):
        self.envs = VectorEnv(n, **options)
        self.client = self.envs.client
        super().__init__(n, self.envs.single_observation_space, self.envs.single_action_space)
        self.start = None

    def seed(self, seed=None):
        self.start = seed
        return [seed] * self.num_envs

    def reset(self):
        obs, _ = self.envs.reset(seed=self.start)
        self.start = None
        return obs

    def step_async(self, actions):
        self.actions = actions

    def step_wait(self):
        obs, rewards, _, truncated, info = self.envs.step(self.actions)
        infos = [{} for _ in range(self.num_envs)]
        for k in np.flatnonzero(truncated):
            infos[k] = {"terminal_observation": info["final_obs"][k], "TimeLimit.truncated": True}
        return obs, rewards.astype(np.float32), truncated, infos

    def close(self):
        self.envs.close()

    def _some(self, indices):
        return range(self.num_envs) if indices is None else [indices] if isinstance(indices, int) else indices

    def get_attr(self, attr_name, indices=None):
        if attr_name == "render_mode":
            return [None for _ in self._some(indices)]
        return [getattr(self.envs, attr_name) for _ in self._some(indices)]

    def set_attr(self, attr_name, value, indices=None):
        setattr(self.envs, attr_name, value)

    def env_method(self, method_name, *args, indices=None, **kwargs):
        if method_name == "action_masks":
            return [self.envs.masks[k].astype(bool) for k in self._some(indices)]
        return [getattr(self.envs, method_name)(*args, **kwargs) for _ in self._some(indices)]

    def env_is_wrapped(self, wrapper_class, indices=None):
        return [False for _ in self._some(indices)]
