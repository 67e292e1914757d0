"""What a training, and then a resumed one and an evaluation, do with W&B, as programs of their own.

`... FOLDER` begins a run and prints its folder; `... FOLDER RUN` goes on with it. wandb completes its files as a
program ends.
"""

import json
import sys
from pathlib import Path

from experiments import tracking
from experiments.config import compose
from experiments.run import Run, create_run


def row(update: int) -> dict[str, float]:
    return {"update": update, "steps": 96 * update, "loss/policy": 0.5 / update, "time_s": 0.1 * update}


def begin(folder: Path) -> None:
    config = compose(["experiment=voltvar_ieee33_smoke"])
    tracking.prepare(config)
    run = create_run(config, 3, folder)
    with tracking.tracked([(run, ())]) as (tracker,):
        for update in (1, 2, 3, 4, 5):
            tracker.write(row(update))
    sys.stdout.write(str(run.folder))


def go_on(run: Run) -> None:
    kept = run.cut_metrics(3)
    with tracking.tracked([(run, kept)]) as (tracker,):
        for update in (4, 5, 6):
            tracker.write(row(update))
        tracker.flush()

    controller = {
        "return_eur": {"mean": -9.5, "low": -10.0, "high": -9.0},
        "economic_eur": {"mean": -9.0, "low": -9.0, "high": -9.0},
        "cost": {"v_band": 0.25},
        "score": 0.75,
        "loss_kwh": 228.0,
        "v_band_share": 0.0,
    }
    (run.folder / "evaluation.json").write_text(json.dumps({"split": "test", "controllers": {"ppo": controller}}))
    (run.folder / "report.html").write_text("<p>report</p>")
    (run.folder / "bundle").mkdir()
    (run.folder / "bundle" / "manifest.json").write_text("{}")
    tracking.publish([run])


if __name__ == "__main__":
    if len(sys.argv) > 2:
        go_on(Run(Path(sys.argv[2])))
    else:
        begin(Path(sys.argv[1]))
