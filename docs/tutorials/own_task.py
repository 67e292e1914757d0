"""A task of your own: batteries keep what a feeder draws below a contracted power, and trade besides."""

import argparse

from jax import Array
from jax import numpy as jnp

import gridenv
from gridenv.sim.model import GridModel
from gridenv.sim.state import GridOutput, GridState
from gridenv.tasks.storage import StorageConfig


@gridenv.register_task("PeakShaving-IEEE33-v0")
class PeakShaving(StorageConfig):
    """Batteries keep what the IEEE 33-bus feeder draws below a contracted power."""

    contracted_kw: float = 2500.0
    fee_eur_kwh: float = 0.5
    forecast_steps: int = 16

    def further_eur(self, model: GridModel, state: GridState, output: GridOutput) -> dict[str, Array]:
        """A fee on every kWh drawn beyond the contracted power."""
        beyond_kw = jnp.maximum(output.source_p_kw - self.contracted_kw, 0.0)
        return {"peak": -self.fee_eur_kwh * beyond_kw * model.dt_h}


def main() -> None:
    """Train on the task and score the agent on the test days."""
    from experiments.config import compose
    from experiments.results import evaluate_runs
    from experiments.train import train

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=float, default=2e6)
    parser.add_argument("--against", nargs="*", default=["none", "rule", "oracle"])
    options = parser.parse_args()
    against = f"evaluation.against={options.against}"
    learner = ["agent=ppo", f"agent.total_steps={options.steps}", "agent.gamma=0.995", "agent.reward_scale=0.002"]
    runs = train(compose(["task=PeakShaving-IEEE33-v0", *learner, against]))
    summary = evaluate_runs([run.folder for run in runs], None, None)[1]
    for controller in summary.controllers:
        score = f", score {controller.score.mean:.2f}" if controller.score else ""
        print(f"{controller.name}: {controller.return_eur.mean:,.0f} EUR a day{score}")


if __name__ == "__main__":
    main()
