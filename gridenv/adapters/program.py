"""What the Gymnasium adapters compile: a task built once, its step for a batch, and one transfer for all results."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel

from gridenv.adapters.packing import Layout, Packed, pack
from gridenv.core.pytree import rows_where
from gridenv.network.own import digest_of
from gridenv.tasks import registry
from gridenv.tasks.env import EnvParams, EnvState, GridEnv

MIN_ROWS = 2
"""Smallest batch that is computed. XLA multiplies a single row with another kernel, which rounds differently; with
two rows an environment by itself gives the very numbers that it gives in a batch."""
_SAME_ROWS = {"xla_cpu_experimental_ynn_fusion_type": "", "xla_cpu_use_fusion_emitters": True}
"""One matrix-product kernel and one way to make loops for all batch sizes on the CPU, whatever `XLA_FLAGS` says:
results do not depend on the batch size."""
EXACT_ROWS = 256
"""Largest batch whose steps use that kernel. It takes a third longer than XLA's choice on feeders of 130 buses; larger
batches are there for speed, and agree with small ones to rounding."""
_ONE_THREAD = {"xla_cpu_multi_thread_eigen": False}
"""A single environment is too small to share out; trying to costs a tenth of its step."""


class Leaves(NamedTuple):
    """Arrays of a pytree by name."""

    names: tuple[str, ...]
    shapes: tuple[jax.ShapeDtypeStruct, ...]
    structure: Any
    """What `jax.tree.unflatten` makes the pytree of, given its arrays in this order."""


@dataclass(frozen=True)
class Program:
    """A task that was built, with its compiled functions; one for equal settings."""

    env: GridEnv
    params: EnvParams
    is_float64: bool

    @classmethod
    def of(cls, env: GridEnv, params: EnvParams) -> "Program":
        """The program of an environment that was built already."""
        return cls(env, params, params.model.flow.dtype == np.float64)

    def precision(self) -> AbstractContextManager[Any]:
        """A context in which JAX can hold the task's type."""
        return jax.enable_x64(True) if self.is_float64 else nullcontext()

    def begin(self, starts: Int[np.ndarray, " row"]) -> tuple[EnvState, Float[Array, "row obs"]]:
        """State and first observation of episodes at given scenario steps; at least `MIN_ROWS` of them."""
        with self.precision():
            begun: tuple[EnvState, Array] = _compiled(_begin)(self.env, starts, self.params)
            return begun

    def renew(
        self, mask: Bool[np.ndarray, " row"], starts: Int[np.ndarray, " row"], state: EnvState, observation: Array
    ) -> tuple[EnvState, Float[Array, "row obs"]]:
        """New episodes where `mask` is set, the given state and observation elsewhere."""
        with self.precision():
            renewed: tuple[EnvState, Array] = _compiled(_renew)(self.env, mask, starts, state, observation, self.params)
            return renewed

    def step(self, state: EnvState, action: Float[np.ndarray, "env act"]) -> tuple[EnvState, Array, Packed]:
        """State and observation of all rows, and (reward, terminated, truncated, info) of each environment, packed."""
        with self.precision():
            step = _compiled(_step, exact=action.shape[0] <= EXACT_ROWS)
            stepped: tuple[EnvState, Array, Packed] = step(self.env, state, action, self.params)
            return stepped

    def step_one(self, state: EnvState, action: Float[np.ndarray, " act"]) -> tuple[EnvState, Packed]:
        """State, and (observation, reward, terminated, truncated, info) of one environment, packed."""
        with self.precision():
            stepped: tuple[EnvState, Packed] = _compiled(_step_one, one_thread=True)(
                self.env, state, action, self.params
            )
            return stepped

    def begun_leaves(self, rows: int) -> Leaves:
        """What `begin` returns, leaf by leaf; nothing is computed."""
        known: list[Any] = []

        def leaves(starts: Array) -> list[Array]:
            named, structure = jax.tree_util.tree_flatten_with_path(_begin(self.env, starts, self.params))
            known[:] = [tuple(jax.tree_util.keystr(path) for path, _ in named), structure]
            return [leaf for _, leaf in named]

        with self.precision():
            shapes = jax.eval_shape(leaves, jax.ShapeDtypeStruct((rows,), jnp.int32))
        names, structure = known
        return Leaves(names, tuple(shapes), structure)

    def layout(self, num_envs: int) -> Layout:
        """How `step` packs its results."""
        return self._layout(_step_results, max(MIN_ROWS, num_envs), (num_envs, self.env.n_action))

    def layout_one(self) -> Layout:
        """How `step_one` packs its results."""
        return self._layout(_step_one_results, MIN_ROWS, (self.env.n_action,))

    def _layout(self, function: Callable[..., Any], rows: int, action_shape: tuple[int, ...]) -> Layout:
        def results(starts: Array, action: Array) -> Any:
            state, _ = _begin(self.env, starts, self.params)
            return function(self.env, state, action, self.params)[-1]

        starts, action = jax.ShapeDtypeStruct((rows,), jnp.int32), jax.ShapeDtypeStruct(action_shape, jnp.float32)
        with self.precision():
            return Layout.of(jax.eval_shape(results, starts, action))


def program(task_id: str | BaseModel, config: dict[str, Any]) -> Program:
    """The program of a task with settings that differ from its defaults.

    Raises:
        ConfigError: for an unknown task, unknown settings and values that are not allowed; all problems at once.
    """
    known, checked = registry.settings_of(task_id, config)
    return _program(known, checked, digest_of(getattr(checked, "network", "")))


@lru_cache(maxsize=8)
def _program(task_id: str, config: BaseModel, network_digest: str) -> Program:
    del network_digest  # a file may have changed since the last time
    is_float64 = getattr(config, "dtype", None) == "float64"
    with jax.enable_x64(True) if is_float64 else nullcontext():
        env, params = registry.build(task_id, config)
    return Program(env, params, is_float64)


@cache
def _compiled(function: Callable[..., Any], *, exact: bool = True, one_thread: bool = False) -> Callable[..., Any]:
    options = (_SAME_ROWS if exact else {}) | (_ONE_THREAD if one_thread else {})
    return jax.jit(function, static_argnames="env", compiler_options=_known(tuple(options.items())))


@cache
def _known(options: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """The options, if this version of XLA knows them all; else none, and results depend on the batch size a little."""
    try:
        jax.jit(lambda x: x + 1, compiler_options=dict(options))(np.float32(0.0))
    except (jax.errors.JaxRuntimeError, ValueError):
        return {}
    return dict(options)


def _begin(env: GridEnv, starts: Array, params: EnvParams) -> tuple[EnvState, Array]:
    observation, state = env.reset_at(starts, params)
    return state, _in_space(env, observation)


def _renew(
    env: GridEnv, mask: Array, starts: Array, state: EnvState, observation: Array, params: EnvParams
) -> tuple[EnvState, Array]:
    renewed: tuple[EnvState, Array] = rows_where(mask, _begin(env, starts, params), (state, observation))
    return renewed


def _step(env: GridEnv, state: EnvState, action: Array, params: EnvParams) -> tuple[EnvState, Array, Packed]:
    state, observation, results = _step_results(env, state, action, params)
    return state, observation, pack(results)


def _step_one(env: GridEnv, state: EnvState, action: Array, params: EnvParams) -> tuple[EnvState, Packed]:
    state, results = _step_one_results(env, state, action, params)
    return state, pack(results)


def _step_results(env: GridEnv, state: EnvState, action: Array, params: EnvParams) -> tuple[EnvState, Array, Any]:
    num_envs = action.shape[0]
    rows = state.steps.shape[0]
    if rows > num_envs:
        action = jnp.concatenate([action, jnp.broadcast_to(action[-1], (rows - num_envs, action.shape[1]))])
    # Without the barriers XLA would find out that some rows are copies, and compute one row after all.
    action = lax.optimization_barrier(action)
    observation, state, *results = env.step(None, state, action, params)
    state, observation, results = lax.optimization_barrier((state, _in_space(env, observation), results))
    return state, observation, jax.tree.map(lambda x: x[:num_envs], tuple(results))


def _step_one_results(env: GridEnv, state: EnvState, action: Array, params: EnvParams) -> tuple[EnvState, Any]:
    state, observation, results = _step_results(env, state, action[None], params)
    return state, jax.tree.map(lambda x: x[0], (observation, *results))


def _in_space(env: GridEnv, observation: Array) -> Float[Array, "row obs"]:
    """The observation as float32; a float64 task's rounding must not leave the bounds."""
    return observation.astype(jnp.float32).clip(*env.observation_bounds)
