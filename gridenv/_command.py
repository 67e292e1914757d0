"""Start of the `gridenv` command. The command line lives in a checkout, not in the wheel."""

import importlib.util
import sys
from pathlib import Path

_CHECKOUT = Path(__file__).parents[1]


def main() -> None:
    """Run the command line of the checkout, or say where to get it."""
    # Other packages may be called `agents` too; those beside this package are meant.
    if (_CHECKOUT / "experiments" / "cli.py").is_file():
        sys.path.insert(0, str(_CHECKOUT))
    elif importlib.util.find_spec("experiments") is None or importlib.util.find_spec("experiments.cli") is None:
        sys.stderr.write(
            "error: gridenv: the command line is not part of the installed package; clone the repository and install "
            "it with `pip install -e .`\n"
        )
        sys.exit(2)
    from experiments.cli import main as run

    run()
