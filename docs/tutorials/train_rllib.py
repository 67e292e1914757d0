"""RLlib's PPO on a task, on a Ray that stays on this machine, with its score on the test days."""

import argparse
from pathlib import Path

import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core import DEFAULT_MODULE_ID, Columns

import gridenv
from experiments.task_scores import score_policy

TASK, ENVS, DAY = "VoltVar-IEEE33-v0", 64, 96


def main() -> None:
    """Train and score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=float, default=400_000)
    parser.add_argument("--against", nargs="*", default=["none", "rule", "oracle"])
    options = parser.parse_args()

    with gridenv.quiet_ray(Path("ray_home")):
        config = (
            PPOConfig()
            .environment(gridenv.rllib_env(TASK, split="train"))
            .env_runners(num_env_runners=1, num_envs_per_env_runner=ENVS, gym_env_vectorize_mode="vector_entry_point")
            .env_runners(sample_timeout_s=600.0)  # the first samples wait for the compiler
            .training(train_batch_size_per_learner=ENVS * DAY, minibatch_size=1536, num_epochs=10, gamma=0.0, lr=1e-3)
            .debugging(seed=0)
        )
        algorithm = config.build_algo()
        for _ in range(max(int(options.steps) // (ENVS * DAY), 1)):
            result = algorithm.train()
            print(f"{result['env_runners'].get('episode_return_mean', np.nan):,.0f} EUR a day while exploring")
        module = algorithm.get_module(DEFAULT_MODULE_ID)
        algorithm.stop()

    def act(observation: np.ndarray) -> np.ndarray:
        """The most likely actions."""
        with torch.no_grad():
            inputs = module.forward_inference({Columns.OBS: torch.as_tensor(observation)})[Columns.ACTION_DIST_INPUTS]
        return module.get_inference_action_dist_cls().from_logits(inputs).to_deterministic().sample().numpy()

    scored = score_policy(TASK, act, against=options.against)
    print(scored)


if __name__ == "__main__":
    main()
