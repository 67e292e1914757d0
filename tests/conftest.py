"""Set-up of the whole suite: shape and type checks on our functions, and compiled programs kept between runs."""

import gc
import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Of the user, not of the checkout: a fresh clone finds what another one has compiled.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "gridenv", "jax-tests")),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
os.environ.setdefault("MPLBACKEND", "Agg")
# Most of the suite's time is LLVM's; tests run too few steps to win it back. `make test` goes further for most files.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1 --xla_llvm_disable_expensive_passes=true")

import hypothesis
import jax
import pytest
from jaxtyping import install_import_hook

# The first example of a test pays for compilation, so no deadline; the same examples every time.
hypothesis.settings.register_profile("gridenv", deadline=None, max_examples=60, derandomize=True)
hypothesis.settings.load_profile("gridenv")

# Keep the returned object: leaving its `with` form would uninstall the hook.
_hook = install_import_hook(["gridenv", "agents"], "beartype.beartype")

_MAPS = Path("/proc/self/maps")
_MOST_MAPS = 15_000
"""Linux allows 65,530 memory maps in a process; every compiled program takes some, and past the limit XLA crashes."""

_NEW_OBJECTS = 10_000
"""After which the garbage collector looks for cycles; tracing makes objects by the million, most of which live on."""


def pytest_collection_finish() -> None:
    """Leave modules and collected tests out of every later search for garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Forget compiled programs between files before they are too many."""
    if (nextitem is not None and nextitem.path == item.path) or not _MAPS.exists():
        return
    if _MAPS.read_bytes().count(b"\n") > _MOST_MAPS:
        jax.clear_caches()
        gc.collect()
