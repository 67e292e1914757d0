"""How the command line ends after Ctrl-C."""

import subprocess
import sys

from experiments import cli

PROGRAM = """
import atexit, sys
from experiments import cli

class TakenApart:
    def __del__(self):
        sys.stdout.write("taken apart")

@cli.app.command()
def interrupted():
    raise KeyboardInterrupt

kept = TakenApart()
atexit.register(lambda: print("exit functions"))
sys.argv = ["gridenv", "interrupted"]
cli.main()
"""


def test_ctrl_c_outside_of_training_ends_without_taking_the_interpreter_apart():
    """Which is a segmentation fault now and then, after a signal while JAX compiles."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == cli.INTERRUPTED
    assert (done.stdout.split("\n"), done.stderr.strip()) == (["exit functions", ""], "stopped")
