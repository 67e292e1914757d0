"""Large batches shared out over the processors.

XLA splits one large operation over its threads, but a power flow in blocks is many small ones, one after the other. So
slices of the batch are solved side by side, each by the same compiled program.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import jax
from jax import numpy as jnp

from gridenv.powerflow.arrays import FlowArrays
from gridenv.powerflow.operators import Dense
from gridenv.powerflow.solver import batch_shape

LEAST_WORK = 16_384
"""Slots times samples of a slice from which threads are used. Assumed: a slice then takes several times the 0.1 ms that
a call costs; the crossover itself was not measured."""


def shared_out(solve: Callable[..., Any], asked: Any, flow: FlowArrays) -> Any:
    """`solve(*asked)`, on several processors where that helps: on a CPU, outside of jit, for a large batch.

    Args:
        solve: gives arrays whose first axis is the batch.
        asked: what it is called with; arrays with two axes whose first is the batch are cut.
        flow: constants of the network, to weigh the work.
    """
    batch = batch_shape(asked)
    # Products with one large matrix XLA shares out better by itself.
    is_whole = isinstance(flow.operator, Dense) or len(batch) != 1 or jax.default_backend() != "cpu"
    if is_whole or any(isinstance(a, jax.core.Tracer) for a in jax.tree.leaves(asked)):
        return solve(*asked)
    n_sample = batch[0]
    n_slice = min(_n_cpu(), n_sample * flow.n_slot // LEAST_WORK)
    if n_slice < 2:
        return solve(*asked)
    # Slices of one size, so that one program serves all; the last may repeat samples of the one before.
    size = -(-n_sample // n_slice)
    n_slice = -(-n_sample // size)
    starts = [min(k * size, n_sample - size) for k in range(n_slice)]

    def one(start: int) -> Any:
        def cut(a: Any) -> Any:
            return a[start : start + size] if a.ndim == 2 and a.shape[0] == n_sample else a

        return jax.block_until_ready(solve(*jax.tree.map(cut, asked)))

    solved = list(_pool().map(one, starts))
    repeated = n_slice * size - n_sample
    if repeated:
        solved[-1] = jax.tree.map(lambda a: a[repeated:], solved[-1])
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *solved)


def _n_cpu() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_n_cpu(), thread_name_prefix="gridenv-power-flow")
