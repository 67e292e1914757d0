"""Ray that asks no cloud who it is: one of its own on this machine, gone afterwards, or a cluster that already runs."""

import ipaddress
import os
import secrets
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from gridenv.core.cache import CACHE_VARIABLE, cache_dir
from gridenv.core.environment import environment
from gridenv.core.errors import ConfigError, MissingExtraError

BOOTSTRAP_FILE = "ray_bootstrap_config.yaml"
_BOOTSTRAP = "provider: {type: local}\n"
_OBJECT_STORE_BYTES = 100 * 1024**2
_NO_STATISTICS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # `ray start` tells its makers once that it shall tell them nothing. Nobody listens here.
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9/",
}
_CONNECT_S = 5.0
_STARTS = 3
_TOO_SLOW = "timed out during startup"
"""In Ray's message when the processes of a node take too long."""


@contextmanager
def quiet_ray(home: Path, **options: Any) -> Iterator[Any]:
    """A local Ray that runs inside of a `with`, without a word to the network.

    Whenever Ray starts it asks the metadata services of three clouds whether it runs there, whatever its switches say.
    It does not if a file in the home folder of its processes names the provider, so they get a home of their own.

    Args:
        home: folder that is the home of all Ray processes, and of this one inside of the `with`; made if missing.
        options: of `ray.init`; by default two processors, 100 MiB of object store and no dashboard.

    Yields:
        What `ray.init` returns.

    Raises:
        ConfigError: if Ray already runs in this process, or the machine is too busy for its processes to start.
        MissingExtraError: if Ray is not installed.
    """
    ray = _ray("quiet_ray")
    # A process keeps the first token that it uses, so the token must not lie in a home that the next start has not.
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    settings = {CACHE_VARIABLE: str(cache_dir("networks").parent), **quiet_environment(home)}
    defaults = {"num_cpus": 2, "object_store_memory": _OBJECT_STORE_BYTES, "include_dashboard": False}
    with environment(settings), _loopback_only():
        try:
            with warnings.catch_warnings():
                # Ray starts programs by forks that become another program at once, which JAX cannot know.
                warnings.filterwarnings("ignore", r".*os\.fork\(\) was called", RuntimeWarning)
                # "local" starts a Ray of its own, also where RAY_ADDRESS names a cluster.
                context = _start(ray, **(defaults | options))
            yield context
        finally:
            ray.shutdown()


def _start(ray: Any, **options: Any) -> Any:
    """What `ray.init` returns; Ray gives its own processes 30 s, which is too short on a busy machine."""
    for attempt in range(_STARTS):
        try:
            return ray.init("local", **options)
        except Exception as error:  # Ray raises no class of its own.
            ray.shutdown()
            if _TOO_SLOW not in str(error):
                raise
            if attempt == _STARTS - 1:
                raise ConfigError(
                    f"Ray: its processes did not start within 30 s, {_STARTS} times in a row; the machine is too busy "
                    "or short of memory; end other programs, or try again later"
                ) from error
    raise AssertionError


def quiet_environment(home: Path) -> dict[str, str]:
    """Environment in which Ray processes say nothing to the network, for `ray start` too.

    Args:
        home: folder that is their home; made if missing.
    """
    home = home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    (home / BOOTSTRAP_FILE).write_text(_BOOTSTRAP, encoding="utf-8")
    return {"HOME": str(home), **_NO_STATISTICS}


@contextmanager
def ray_cluster(address: str, **options: Any) -> Iterator[Any]:
    """A connection to a Ray cluster that already runs, inside of a `with`.

    Whether the cluster talks to the network is up to how it was started: see `quiet_environment`. Its token is taken
    from where Ray looks for it: `RAY_AUTH_TOKEN`, or the file that `ray get-auth-token --generate` makes.

    Args:
        address: `HOST:PORT` of the head process.
        options: of `ray.init`.

    Yields:
        What `ray.init` returns.

    Raises:
        ConfigError: if nothing answers there, the cluster refuses, or Ray already runs in this process.
        MissingExtraError: if Ray is not installed.
    """
    ray = _ray("ray_cluster")
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT_S).close()
    except OSError as error:
        raise ConfigError(
            f"ray.address = '{address}': nothing answers there ({error.strerror or error}); start the cluster, or "
            "correct the address"
        ) from None
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    # Ray itself does so for a cluster that it starts, and not for one that it joins.
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    is_loopback = ipaddress.ip_address(socket.gethostbyname(host)).is_loopback
    with environment(_NO_STATISTICS), _loopback_only() if is_loopback else nullcontext():
        try:
            try:
                context = ray.init(address, **options)
            except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
                raise ConfigError(
                    f"ray.address = '{address}': the cluster refuses ({str(error).strip().partition(chr(10))[0]}); it "
                    "needs this version of Ray and the same RAY_AUTH_TOKEN"
                ) from error
            yield context
        finally:
            ray.shutdown()


def _ray(caller: str) -> Any:
    """The package, where it does not run yet."""
    try:
        import ray
    except ImportError:
        raise MissingExtraError(
            f"{caller}: package 'ray' is not installed; install it with pip install \"gridenv[ray]\""
        ) from None
    if ray.is_initialized():
        raise ConfigError(f"{caller}: Ray already runs in this process; allowed: one at a time; call ray.shutdown()")
    return ray


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Let Ray call this node 127.0.0.1, as it does by itself on systems where it builds no clusters.

    Otherwise it finds out which address faces the internet, and listens there.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        with environment({ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}):
            yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
