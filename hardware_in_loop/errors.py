"""Errors of the hardware bridge."""

from gridenv.core.errors import ConfigError, GridEnvError


class RegisterMapError(ConfigError):
    """A register map is inconsistent or incomplete."""


class RigFileError(ConfigError):
    """A rig file names things that do not exist, or leaves channels without a source or sink."""


class EncodingError(GridEnvError):
    """A value cannot be put into the registers of a point."""


class RigError(GridEnvError):
    """A device of the rig cannot be reached, or is not what the rig file says."""
