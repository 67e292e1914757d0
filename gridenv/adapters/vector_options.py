"""What users hand to a vector environment, checked."""

from collections.abc import Mapping
from operator import index
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from jaxtyping import Bool

from gridenv.core.errors import ConfigError, did_you_mean

RESET_MASK = "reset_mask"


def parse_autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """The mode from itself, its name (`SAME_STEP`) or its value (`SameStep`).

    Raises:
        ConfigError: if there is no such mode.
    """
    known = {key: m for m in AutoresetMode for key in (m.name, m.value)}
    if isinstance(mode, AutoresetMode):
        return mode
    if mode not in known:
        hint = did_you_mean(str(mode), [m.name for m in AutoresetMode])
        raise ConfigError(f"vector environment: unknown autoreset_mode {mode!r}{hint}")
    return known[mode]


def parse_num_envs(num_envs: Any) -> int:
    """The number of environments.

    Raises:
        ConfigError: if it is not a whole number from 1.
    """
    if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
        raise ConfigError(f"vector environment: num_envs is {num_envs!r}; allowed: a whole number from 1; correct it")
    return int(num_envs)


def parse_seeds(seed: Any, num_envs: int) -> list[int | None]:
    """A seed for each environment as Gymnasium's own vector environments deal them: s, s + 1, ...; None = keep on.

    Raises:
        ConfigError: for negative seeds, other types, and a list of another length.
    """
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, int | np.integer):
        seeds: list[Any] = [int(seed) + i for i in range(num_envs)]
    else:
        seeds = list(seed)
    if len(seeds) != num_envs:
        raise ConfigError(
            f"reset: seed has {len(seeds)} entries; allowed: {num_envs}, one for each environment; add or drop"
        )
    return [None if s is None else _checked_seed(s, i) for i, s in enumerate(seeds)]


def parse_reset_mask(options: Mapping[str, Any] | None, num_envs: int) -> Bool[np.ndarray, " env"]:
    """Which environments a reset is for; all of them without the option `reset_mask`. The options stay as they are.

    Raises:
        ConfigError: if the mask is not a boolean array with an entry for each environment, at least one of them true.
    """
    # Wrappers read the mask after this environment did, so it must not be popped.
    if not options or RESET_MASK not in options:
        return np.ones(num_envs, np.bool_)
    mask = options[RESET_MASK]
    allowed = f"allowed: a NumPy array of bool with shape ({num_envs},), at least one entry True"
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,):
        found = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else repr(mask)
        raise ConfigError(f"reset: option '{RESET_MASK}' is {found}; {allowed}; correct it")
    if not mask.any():
        raise ConfigError(f"reset: option '{RESET_MASK}' has no True entry; {allowed}; set one or do not reset")
    return mask.copy()


def _checked_seed(seed: Any, i: int) -> int:
    try:
        value = index(seed)
    except TypeError:
        value = -1
    if value < 0:
        raise ConfigError(f"reset: seed of environment {i} is {seed!r}; allowed: a whole number from 0; correct it")
    return value
