"""Where JAX keeps compiled programs."""

import os

import jax

from gridenv.core.cache import cache_dir

_MIN_COMPILE_S = 0.5


def keep_programs() -> None:
    """Keep compiled programs on disk, unless the user has chosen where."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    jax.config.update("jax_compilation_cache_dir", str(cache_dir("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_COMPILE_S)
