"""Set-up of the whole suite: shape and type checks on our functions, and compiled programs kept between runs."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
from jaxtyping import install_import_hook

# The first example of a test pays for compilation, so no deadline; the same examples every time.
hypothesis.settings.register_profile("gridenv", deadline=None, max_examples=60, derandomize=True)
hypothesis.settings.load_profile("gridenv")

# Keep the returned object: leaving its `with` form would uninstall the hook.
_hook = install_import_hook(["gridenv", "agents"], "beartype.beartype")
