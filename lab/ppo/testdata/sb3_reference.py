"""Writes sb3.json: what Stable-Baselines3 makes of given rollouts.

Each case fills SB3's own rollout buffer, lets PPO.train() run some epochs with
one minibatch per epoch (so that shuffling does not matter), and stores inputs,
advantages, returns, logged values and the weights before and after. Masked
distributions come from sb3-contrib.

    python -m venv venv
    venv/bin/pip install stable-baselines3==2.9.2 sb3-contrib==2.9.2
    venv/bin/python sb3_reference.py > sb3.json
"""

import json
import sys

import gymnasium
import numpy as np
import sb3_contrib
import stable_baselines3
import torch
from sb3_contrib.common.maskable.distributions import MaskableMultiCategoricalDistribution
from stable_baselines3 import PPO
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv

OBS, HEADS, HIDDEN, STEPS = 3, [3, 4], [8, 5], 12


class Env(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-10, 10, (OBS,), np.float32)
    action_space = gymnasium.spaces.MultiDiscrete(HEADS)


def floats(x):
    """Nested lists of float32, written with enough digits to be read back exactly."""
    if isinstance(x, torch.Tensor):
        x = x.detach().numpy()
    return np.asarray(x, np.float32).astype(float).tolist()


def weights(model):
    """Layers of both networks as observation · weight + bias."""
    p = model.policy
    nets = {
        "policy": [m for m in p.mlp_extractor.policy_net if hasattr(m, "weight")] + [p.action_net],
        "value": [m for m in p.mlp_extractor.value_net if hasattr(m, "weight")] + [p.value_net],
    }
    return {k: [{"weight": floats(m.weight.T), "bias": floats(m.bias)} for m in v] for k, v in nets.items()}


def case(name, envs, seed, epochs, **kwargs):
    model = PPO("MlpPolicy", DummyVecEnv([Env] * envs), n_steps=STEPS, batch_size=STEPS * envs, n_epochs=epochs,
                seed=seed, device="cpu", policy_kwargs={"net_arch": HIDDEN}, **kwargs)
    model.set_logger(configure(None, []))
    rng = np.random.default_rng(seed)
    with torch.no_grad():  # larger weights than the initial ones, so that every term counts
        for p in model.policy.parameters():
            p += torch.as_tensor(rng.normal(0, 0.3, p.shape), dtype=torch.float32)
    before = weights(model)

    obs = rng.normal(size=(STEPS + 1, envs, OBS)).astype(np.float32)
    actions = np.stack([rng.integers(0, n, (STEPS, envs)) for n in HEADS], axis=-1)
    rewards = rng.normal(1, 2, (STEPS, envs)).astype(np.float32)
    dones = rng.random((STEPS, envs)) < 0.2
    buffer = model.rollout_buffer
    buffer.reset()
    values, log_probs = [], []
    for s in range(STEPS):
        with torch.no_grad():
            value, log_prob, _ = model.policy.evaluate_actions(torch.as_tensor(obs[s]), torch.as_tensor(actions[s]))
        # As if the policy had changed since: ratios on both sides of the clip range.
        value = value.flatten() + torch.as_tensor(rng.normal(0, 0.3, envs), dtype=torch.float32)
        log_prob = log_prob + torch.as_tensor(rng.normal(0, 0.2, envs), dtype=torch.float32)
        starts = dones[s - 1] if s else np.ones(envs, bool)
        buffer.add(obs[s], actions[s], rewards[s], starts, value, log_prob)
        values.append(value)
        log_probs.append(log_prob)
    with torch.no_grad():
        last = model.policy.predict_values(torch.as_tensor(obs[STEPS])).flatten()
    buffer.compute_returns_and_advantage(last, dones[STEPS - 1])
    advantages, returns = buffer.advantages.copy(), buffer.returns.copy()
    model.train()
    return {
        "name": name, "envs": envs, "epochs": epochs,
        "config": {k: v for k, v in kwargs.items()},
        "before": before,
        "obs": floats(obs), "choice": actions.tolist(), "reward": floats(rewards), "done": dones.tolist(),
        "value": [floats(v) for v in values], "logProb": [floats(v) for v in log_probs],
        "advantage": floats(advantages), "return": floats(returns),
        "metrics": {k.removeprefix("train/"): float(v) for k, v in model.logger.name_to_value.items()},
        "after": weights(model),
    }


def masked():
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 2, (6, sum(HEADS))).astype(np.float32)
    masks = rng.random(logits.shape) < 0.6
    masks[:, [0, HEADS[0]]] = True
    actions = np.stack([[rng.choice(np.flatnonzero(m[at:at + n])) for m in masks]
                        for at, n in zip(np.cumsum([0] + HEADS[:-1]), HEADS)], axis=-1)
    d = MaskableMultiCategoricalDistribution(HEADS)
    d.proba_distribution(torch.as_tensor(logits))
    d.apply_masking(masks)
    return {"logits": floats(logits), "mask": masks.tolist(), "choice": actions.tolist(),
            "logProb": floats(d.log_prob(torch.as_tensor(actions))), "entropy": floats(d.entropy())}


if __name__ == "__main__":
    torch.set_num_threads(1)
    json.dump({
        "versions": {"stable-baselines3": stable_baselines3.__version__, "sb3-contrib": sb3_contrib.__version__,
                     "torch": torch.__version__},
        "observation": OBS, "heads": HEADS, "hidden": HIDDEN, "steps": STEPS,
        "cases": [
            case("paper", 1, 1, 1, learning_rate=1e-3, gamma=0.0),
            case("all terms", 2, 2, 4, learning_rate=3e-3, gamma=0.97, gae_lambda=0.9, ent_coef=0.02,
                 vf_coef=0.7, clip_range=0.1, clip_range_vf=0.2, max_grad_norm=0.3),
            case("raw advantages", 2, 3, 2, learning_rate=1e-3, gamma=0.99, normalize_advantage=False, max_grad_norm=100.0),
            case("target KL", 2, 4, 10, learning_rate=3e-2, gamma=0.5, target_kl=0.1),
        ],
        "masked": masked(),
    }, sys.stdout)
    print()
