"""The simulator of Meshbench as a Gymnasium environment.

    import meshbench_gym
    env = meshbench_gym.Env(scenario="paper", objective="MO1", model="model")
    envs = meshbench_gym.VectorEnv(8, scenario="paper")

Options are those of `meshbench gym`. The program is what MESHBENCH names, else
`meshbench` on the PATH; it runs as long as the environment is open. A fixed
horizon is a truncation, never a termination. Where knobs move by increments,
`info["action_mask"]` says which choices are allowed.
"""

import json
import os
import shlex
import struct
import subprocess

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

__all__ = ["Client", "Env", "VectorEnv"]

VERSION = 1


class Client:
    """One conversation with `meshbench gym`, which steps n environments."""

    def __init__(self, n=1, program=None, cwd=None, **options):
        command = shlex.split(program or os.environ.get("MESHBENCH", "meshbench")) + ["gym", f"-envs={n}"]
        command += [f"-{name}={value}" for name, value in options.items() if value is not None]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{shlex.join(command)} ended with {self.process.wait()}; what it printed says why")
        hello = json.loads(line)
        if hello["version"] != VERSION:
            raise RuntimeError(f"the program speaks version {hello['version']}; accepted: {VERSION}")
        self.n, self.title, self.length = hello["environments"], hello["title"], hello["length"]
        self.size, self.heads, self.masked, self.loads = hello["observation"], hello["heads"], hello["mask"], hello["loads"]

    def _ask(self, op, *parts):
        out = self.process.stdin
        out.write(op + b"".join(parts))
        out.flush()
        if self._read(1) == b"\1":
            (n,) = struct.unpack("<I", self._read(4))
            raise ValueError(self._read(n).decode())

    def _read(self, n):
        b = self.process.stdout.read(n)
        if len(b) != n:
            raise RuntimeError(f"meshbench gym ended with {self.process.wait()}; what it printed says why")
        return b

    def _array(self, kind, *shape):
        kind = np.dtype(kind)
        return np.frombuffer(self._read(kind.itemsize * int(np.prod(shape))), kind).reshape(shape).copy()

    def _masks(self):
        return self._array(np.int8, self.n, sum(self.heads)) if self.masked else None

    def reset(self, which, seeds):
        """Resets the environments of `which` (n bool) by `seeds` (n ints); observations and masks of all."""
        self._ask(b"r", np.asarray(which, np.uint8).tobytes(), np.asarray(seeds, "<u8").tobytes())
        return self._array("<f4", self.n, self.size), self._masks()

    def step(self, choices):
        """One step: observations, rewards, truncated, masks."""
        self._ask(b"s", np.ascontiguousarray(choices, "<i4").reshape(self.n, len(self.heads)).tobytes())
        obs, rewards = self._array("<f4", self.n, self.size), self._array("<f8", self.n)
        return obs, rewards, self._array(np.uint8, self.n).astype(bool), self._masks()

    def scored(self):
        """The observations that a policy is scored by."""
        self._ask(b"l")
        (k,) = struct.unpack("<I", self._read(4))
        return self._array("<f4", k, self.size)

    def score(self, choices):
        """ANR of the choices at those: the mean of reward over best reward."""
        self._ask(b"e", np.ascontiguousarray(choices, "<i4").reshape(self.loads, len(self.heads)).tobytes())
        return float(self._array("<f8", 1)[0])

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait()


def _spaces(client):
    heads = client.heads
    action = gymnasium.spaces.Discrete(heads[0]) if len(heads) == 1 else gymnasium.spaces.MultiDiscrete(heads)
    return gymnasium.spaces.Box(-np.inf, np.inf, (client.size,), np.float32), action


class Env(gymnasium.Env):
    """One environment."""

    metadata = {"render_modes": []}

    def __init__(self, render_mode=None, **options):
        self.render_mode = render_mode
        self.client = Client(1, **options)
        self.observation_space, self.action_space = _spaces(self.client)

    def _info(self, masks):
        return {} if masks is None else {"action_mask": masks[0]}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        obs, self.masks = self.client.reset([True], [self.np_random.integers(2**63)])
        return obs[0], self._info(self.masks)

    def step(self, action):
        obs, rewards, truncated, self.masks = self.client.step(action)
        return obs[0], float(rewards[0]), False, bool(truncated[0]), self._info(self.masks)

    def action_masks(self):
        """As sb3-contrib's MaskablePPO asks for them."""
        return None if self.masks is None else self.masks[0].astype(bool)

    def close(self):
        self.client.close()


class VectorEnv(gymnasium.vector.VectorEnv):
    """n environments that one process steps together, reset in the step that truncates them."""

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, n, **options):
        self.client = Client(n, **options)
        self.num_envs = n
        self.single_observation_space, self.single_action_space = _spaces(self.client)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, n)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, n)
        self.masks = None

    def _seeds(self):
        return self.np_random.integers(2**63, size=self.num_envs)

    def _info(self):
        return {} if self.masks is None else {"action_mask": self.masks}

    def reset(self, *, seed=None, options=None):
        if isinstance(seed, (list, tuple, np.ndarray)):
            seeds = np.asarray(seed)
            self._np_random, self._np_random_seed = gymnasium.utils.seeding.np_random(int(seeds[0]))
        else:
            super().reset(seed=seed)
            seeds = self._seeds()
        obs, self.masks = self.client.reset(np.ones(self.num_envs), seeds)
        return obs, self._info()

    def step(self, actions):
        obs, rewards, truncated, self.masks = self.client.step(actions)
        info = {}
        if truncated.any():
            final = obs
            obs, self.masks = self.client.reset(truncated, self._seeds())
            info = {"final_obs": final, "_final_obs": truncated}
        return obs, rewards, np.zeros(self.num_envs, bool), truncated, {**self._info(), **info}

    def close_extras(self, **kwargs):
        self.client.close()


gymnasium.register(id="Meshbench-v0", entry_point="meshbench_gym:Env")
