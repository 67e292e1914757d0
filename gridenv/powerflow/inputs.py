"""Checks of what users hand to the power flow; each returns the problems it found."""

from collections.abc import Collection

import numpy as np
from jax import Array
from numpy.typing import ArrayLike, DTypeLike

from gridenv.core.errors import ConfigError, NetworkError, did_you_mean, raise_collected
from gridenv.network import NetworkSpec, load_network
from gridenv.network.compile import AnyNetworkSpec
from gridenv.network.phase_tables import PhaseNetworkSpec


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
        f"power flow: network is a {type(network).__name__}; allowed: a catalogue name or a NetworkSpec; "
        "convert a pandapower net with gridenv.from_pandapower(net)"
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


def power_problems(name: str, value: ArrayLike, injections: tuple[str, ...]) -> list[str]:
    """What is wrong with active or reactive power of the injections."""
    return _array_problems(name, value, injections, "pf.injection_names", "give kW and kvar as floats")


_LISTS = {
    "taps": "pf.tap_names",
    "capacitors": "pf.capacitor_names",
    "switches": "pf.switch_names",
    "line_r_scale": "pf.line_names",
    "line_x_scale": "pf.line_names",
    "z_share": "pf.injection_names",
    "i_share": "pf.injection_names",
}


def equipment_problems(name: str, value: ArrayLike, members: tuple[str, ...]) -> list[str]:
    """What is wrong with states of the equipment or parameters."""
    return _array_problems(name, value, members, _LISTS[name], "give numbers")


def _array_problems(name: str, value: ArrayLike, members: tuple[str, ...], listed: str, advice: str) -> list[str]:
    shape, kind = np.shape(value), np.asarray(value).dtype.kind if not isinstance(value, Array) else value.dtype.kind
    if kind not in "fiub":
        return [f"power flow: {name} is not made of real numbers (dtype kind '{kind}'); {advice}"]
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
