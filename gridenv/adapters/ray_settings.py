"""Where Ray runs, as it is written in configurations, and a Ray that is there for as long as something takes.

Importing this imports no Ray.
"""

import logging
import os
import re
from contextlib import AbstractContextManager
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator

from gridenv.adapters.ray_local import quiet_ray, ray_cluster
from gridenv.core.cache import cache_dir

_ADDRESS = re.compile(r"[\w.-]+:\d{1,5}")
_LEAST_OBJECT_STORE_MB = 80
"""Ray refuses less than 75 MiB."""
_MIB = 1024**2


class RaySettings(BaseModel):
    """Where the processes of a sweep, an evaluation or a training run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str | None = None
    """`HOST:PORT` of a cluster that runs; null: a Ray of its own on this machine, for as long as it is needed."""
    cpus: PositiveInt | None = None
    """Processors of the Ray of its own; all of this machine if left out."""
    object_store_mb: int = Field(default=100, ge=_LEAST_OBJECT_STORE_MB)
    """Memory of the Ray of its own for what its processes hand to one another, which is little."""

    @field_validator("address")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        if value is not None and not _ADDRESS.fullmatch(value):
            raise ValueError("must be HOST:PORT, such as 127.0.0.1:6379")
        return value


def ray_session(settings: RaySettings) -> AbstractContextManager[Any]:
    """Ray as the settings say, inside of a `with`; it prints nothing.

    Raises:
        ConfigError: if the cluster cannot be reached or refuses, or Ray already runs in this process.
        MissingExtraError: if Ray is not installed.
    """
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if settings.address is not None:
        return ray_cluster(settings.address, **quiet)
    cpus = settings.cpus or len(os.sched_getaffinity(0))
    return quiet_ray(cache_dir("ray"), num_cpus=cpus, object_store_memory=settings.object_store_mb * _MIB, **quiet)
