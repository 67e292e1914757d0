"""What a training, a resumed training and an evaluation do with W&B, run as a program of its own: `... FOLDER`."""

import json
import shutil
import sys
from pathlib import Path

from experiments import tracking
from experiments.config import compose
from experiments.run import create_run


def row(update: int) -> dict[str, float]:
    return {"update": update, "steps": 96 * update, "loss/policy": 0.5 / update, "time_s": 0.1 * update}


def main(folder: Path) -> None:
    config = compose(["experiment=voltvar_ieee33_smoke"])
    tracking.prepare(config)
    run = create_run(config, 3, folder)
    with tracking.tracked([(run, ())]) as (tracker,):
        for update in (1, 2, 3, 4, 5):
            tracker.write(row(update))
    shutil.copytree(run.folder, folder / "first")

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
    sys.stdout.write(str(run.folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
