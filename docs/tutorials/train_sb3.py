"""Stable-Baselines3 on a task, with its score on the test days."""

import argparse

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

import gridenv
from experiments.task_scores import score_policy

TASK, ENVS, DAY = "VoltVar-IEEE33-v0", 64, 96


def main() -> None:
    """Train, score and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=float, default=600_000)
    parser.add_argument("--against", nargs="*", default=["none", "rule", "oracle"])
    options = parser.parse_args()
    torch.set_num_threads(1)  # threads of torch and JAX would wait for each other

    env = VecMonitor(gridenv.sb3_vec_env(TASK, num_envs=ENVS, split="train"))
    # What happens in a step does not reach beyond it here, so gamma is 0.
    model = PPO("MlpPolicy", env, n_steps=DAY, batch_size=1536, gamma=0.0, learning_rate=1e-3, seed=0, device="cpu")
    model.learn(int(options.steps))
    model.save("sb3_ppo")

    scored = score_policy(
        TASK, lambda observation: model.predict(observation, deterministic=True)[0], against=options.against
    )
    print(scored)


if __name__ == "__main__":
    main()
