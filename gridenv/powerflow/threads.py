"""Large batches of samples with factors of their own, shared out over the processors.

XLA splits one large operation over its threads, but elimination is many small ones, one after the other. So the parts
of a batch run side by side. Where they are cut does not depend on the number of processors, and so neither do the
results.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import jax
from jax import numpy as jnp

from gridenv.powerflow.solver import PART, batch_shape


def shared_out(solve: Callable[..., Any], asked: Any) -> Any:
    """`solve(*asked)`, on several processors where that helps: on a CPU, outside of jit, for a large batch.

    Only batches that fall into whole parts for every processor are cut, so that one program serves all of them.
    """
    batch = batch_shape(asked)
    n_thread = _n_cpu()
    leaves = jax.tree.leaves(asked)
    if (
        n_thread < 2
        or len(batch) != 1
        or batch[0] == 0
        or batch[0] % (PART * n_thread) != 0
        or jax.default_backend() != "cpu"
        or any(isinstance(a, jax.core.Tracer) for a in leaves)
    ):
        return solve(*asked)
    size = batch[0] // n_thread

    def one(start: int) -> Any:
        def cut(a: Any) -> Any:
            return a[start : start + size] if a.ndim == 2 and a.shape[0] == batch[0] else a

        return jax.block_until_ready(solve(*jax.tree.map(cut, asked)))

    solved = list(_pool().map(one, range(0, batch[0], size)))
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *solved)


def _n_cpu() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_n_cpu(), thread_name_prefix="gridenv-power-flow")
