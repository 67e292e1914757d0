"""Checks of what users hand to the power flow."""

from collections.abc import Collection

import jax
import numpy as np
from jax import Array
from numpy.typing import ArrayLike, DTypeLike

from gridenv.core.errors import ActionError, ConfigError, NetworkError, did_you_mean, raise_collected
from gridenv.network import NetworkSpec, load_network
from gridenv.network.compile import AnyNetworkSpec
from gridenv.network.phase_tables import PhaseNetworkSpec
from gridenv.powerflow.names import NetworkNames


def dtype_name(dtype: DTypeLike) -> str:
    """The name of a type given in any form that NumPy knows; of anything else its text."""
    try:
        return np.dtype(dtype).name
    except TypeError:
        return str(dtype)


def as_spec(network: object) -> AnyNetworkSpec:
    """The tables of a network given as tables or by its catalogue name.

    Raises:
        NetworkError: for anything else.
    """
    if isinstance(network, str):
        return load_network(network)
    if isinstance(network, NetworkSpec | PhaseNetworkSpec):
        return network
    raise NetworkError(
        f"power flow: network is a {type(network).__name__}; allowed: a catalogue name, a NetworkSpec or a "
        "PhaseNetworkSpec; convert a pandapower net with gridenv.from_pandapower(net), an OpenDSS script with "
        "gridenv.from_opendss(path)"
    )


def check_settings(
    dtype: str,
    method: str,
    tolerance_pu: float | None,
    max_iterations: int,
    dtypes: Collection[str],
    methods: Collection[str],
) -> None:
    """Raise ConfigError for all settings that are not allowed, together."""
    problems = []
    if dtype not in dtypes:
        problems.append(f"power flow: unknown dtype '{dtype}'{did_you_mean(dtype, dtypes)}")
    if method not in methods:
        problems.append(f"power flow: unknown method '{method}'{did_you_mean(method, methods)}")
    if tolerance_pu is not None and not tolerance_pu > 0:
        problems.append(f"power flow: tolerance_pu must be > 0, got {tolerance_pu}")
    if max_iterations < 1:
        problems.append(f"power flow: max_iterations must be >= 1, got {max_iterations}")
    raise_collected(problems, ConfigError)


_MEMBERS = {
    "p_kw": "injection_names",
    "q_kvar": "injection_names",
    "taps": "tap_names",
    "capacitors": "capacitor_names",
    "switches": "switch_names",
    "line_r_scale": "line_names",
    "line_x_scale": "line_names",
    "z_share": "injection_names",
    "i_share": "injection_names",
}
"""Argument -> attribute of `PowerFlow` that names the entries of its last axis."""


def check_asked(names: NetworkNames, dtype: str, asked: dict[str, ArrayLike], others: list[str]) -> None:
    """Check the arrays of one call.

    Args:
        names: what the arrays' last axes stand for.
        dtype: the solver's type.
        asked: arrays by the name of the argument, and `start`, whose last axis is checked elsewhere.
        others: further problems to be reported together.

    Raises:
        ActionError: one line for each problem.
        ConfigError: for float64 inside a trace in float32.
    """
    problems = [
        problem
        for name, value in asked.items()
        if name in _MEMBERS
        for problem in _array_problems(name, value, getattr(names, _MEMBERS[name]), f"pf.{_MEMBERS[name]}")
    ]
    if "switches" in asked and any("line" in name for name in asked):
        problems.append(
            "power flow: line_r_scale and line_x_scale together with switches are not supported; allowed: one or "
            "the other; change the lines of the network instead"
        )
    problems += [] if problems else _batch_problems({name: np.shape(value)[:-1] for name, value in asked.items()})
    raise_collected([*problems, *others], ActionError)
    if dtype == "float64" and not jax.config.read("jax_enable_x64"):
        _refuse_tracers(asked.values())


def _batch_problems(batches: dict[str, tuple[int, ...]]) -> list[str]:
    own = [batch for name, batch in batches.items() if name != "start"]
    try:
        # What the solution is started from is no part of what is asked.
        fits = np.broadcast_shapes(*batches.values()) == np.broadcast_shapes(*own)
    except ValueError:
        fits = False
    found = ", ".join(f"{name} {batch}" for name, batch in batches.items() if batch)
    allowed = "equal leading axes, or ones that broadcast"
    return [] if fits else [f"power flow: batches do not fit together: {found}; allowed: {allowed}"]


def _refuse_tracers(values: Collection[ArrayLike]) -> None:
    if any(isinstance(value, jax.core.Tracer) for value in values):
        raise ConfigError(
            "power flow: dtype is float64, but JAX traces this call in float32; put jit, vmap or grad inside "
            "`with jax.enable_x64(True):`, or use dtype='float32'"
        )


def start_problems(start: Array, n_start: int, n_own: int, dtype: str) -> list[str]:
    """What is wrong with what acts in the slots at the start.

    Args:
        start: [*batch, two_slot] of another solution.
        n_start: injection nodes of its network.
        n_own: injection nodes of this network.
        dtype: the solver's type.
    """
    if start.dtype == dtype and n_start == n_own:
        return []
    return [
        f"power flow: start has {n_start} injection nodes in {start.dtype}, this network {n_own} in {dtype}; "
        "start from a solution of the same power flow"
    ]


def control_problems(spec: AnyNetworkSpec) -> list[str]:
    """Why a network cannot be solved with its controls at work."""
    if isinstance(spec, PhaseNetworkSpec):
        return []
    return [
        f"power flow: controls = True for the balanced network '{spec.name}', which has no regulator or capacitor "
        "controls; allowed: three-phase networks; give the positions as taps="
    ]


def _array_problems(name: str, value: ArrayLike, members: tuple[str, ...], listed: str) -> list[str]:
    shape, kind = np.shape(value), np.asarray(value).dtype.kind if not isinstance(value, Array) else value.dtype.kind
    if kind not in "fiub":
        return [f"power flow: {name} is not made of real numbers (dtype kind '{kind}'); give floats"]
    if not shape or shape[-1] != len(members):
        return [
            f"power flow: {name} has shape {shape}; its last axis must have {len(members)} entries, "
            f"one for each of {listed}"
        ]
    # Values on an accelerator or inside jit cannot be looked at here; there a NaN shows as converged = False.
    if isinstance(value, Array):
        return []
    host = np.asarray(value)
    if np.isfinite(host.sum()):
        return []
    bad = np.argwhere(~np.isfinite(host))
    if not len(bad):
        return []
    where = tuple(int(i) for i in bad[0])
    sample = f" of sample {where[:-1]}" if len(where) > 1 else ""
    return [
        f"power flow: {name} of '{members[where[-1]]}'{sample} is {host[where]}; it must be finite"
        f" ({len(bad)} such values)"
    ]
