"""Errors that name the thing, the value, the limit and what to do."""

import difflib
from collections.abc import Iterable, Sequence


class GridEnvError(Exception):
    """Base of every error that a user of gridenv can cause and mend."""


class ConfigError(GridEnvError):
    """A configuration file, key or override is wrong."""


class NetworkError(GridEnvError):
    """A network description is inconsistent or incomplete."""


class UnsupportedElementError(NetworkError):
    """A network holds an element that the simulator does not model."""


class DataError(GridEnvError):
    """Profiles, prices or other input data are missing or malformed."""


class UnfitError(ConfigError):
    """An agent or reference controller cannot work on a task."""


class ActionError(GridEnvError):
    """An action or injection handed to the simulator has a wrong shape or value."""


class ObservationError(GridEnvError):
    """An observation handed to a policy is incomplete, or has a wrong shape or value."""


class BundleError(GridEnvError):
    """A policy bundle is damaged, belongs to something else or cannot be made."""


class RunError(GridEnvError):
    """A run directory is missing, incomplete or belongs to something else."""


class MissingExtraError(GridEnvError):
    """An optional package is not installed."""


def raise_collected(problems: Sequence[str], error: type[GridEnvError]) -> None:
    """Raise all problems as one error; do nothing when there are none.

    Raises:
        GridEnvError: of class `error`, one problem a line.
    """
    if problems:
        raise error("\n".join(problems))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the closest known name, else the list of known names; starts with `; `."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known: {', '.join(names)}" if names else ""
