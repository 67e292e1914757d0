import os
import socket
import sys
import time
from pathlib import Path

import pytest

from gridenv.adapters.ray_local import BOOTSTRAP_FILE, quiet_ray, ray_cluster
from gridenv.core.cache import CACHE_VARIABLE, cache_dir
from gridenv.core.errors import ConfigError, MissingExtraError
from tests.proxy import recording_proxy

REACHED = "Usage reporting is disabled."
"""What Ray's head process logs when it has found out, or asked, where it runs."""


def test_missing_package_is_an_error_that_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"quiet_ray: package 'ray' is not installed.*\"gridenv\[ray\]"):
        quiet_ray(tmp_path).__enter__()


ray = pytest.importorskip("ray", reason="needs the extra gridenv[ray]")


@pytest.fixture
def asked(monkeypatch):
    """Addresses that were asked for through the proxy that all processes are told to use."""
    with recording_proxy() as (urls, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield urls


def head_log(session_dir):
    log = Path(session_dir, "logs", "dashboard.log")
    return log.read_text() if log.exists() else ""


@ray.remote
def worker_environment():
    return dict(os.environ)


def test_quiet_ray_asks_nobody_listens_to_nobody_and_leaves_no_trace(tmp_path, asked):
    before = {name: os.environ.get(name) for name in ("HOME", CACHE_VARIABLE, "RAY_USAGE_STATS_ENABLED")}
    cache = cache_dir("networks").parent
    home = tmp_path / "a" / "home"
    with quiet_ray(home) as context:
        deadline = time.monotonic() + 60.0
        while REACHED not in head_log(context.address_info["session_dir"]):
            assert time.monotonic() < deadline, "Ray's head process did not get that far"
            time.sleep(0.2)
        assert asked == []
        assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]
        seen = ray.get(worker_environment.remote())
        assert seen["HOME"] == os.environ["HOME"] == str(home)
        assert seen["RAY_USAGE_STATS_ENABLED"] == "0"
        assert seen["RAY_AUTH_MODE"] == "token"
        assert seen[CACHE_VARIABLE] == str(cache)
        assert ray.cluster_resources()["CPU"] == 2
        assert ray.cluster_resources()["object_store_memory"] < 2**27
        with pytest.raises(ConfigError, match=r"quiet_ray: Ray already runs in this process; .* call ray.shutdown"):
            quiet_ray(home).__enter__()
    assert (home / BOOTSTRAP_FILE).exists()
    assert not ray.is_initialized()
    assert {name: os.environ.get(name) for name in before} == before


def test_quiet_ray_starts_again_in_another_home_and_ends_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="a reason"), quiet_ray(tmp_path, num_cpus=1):
        assert ray.cluster_resources()["CPU"] == 1
        assert ray.get(worker_environment.remote())["HOME"] == str(tmp_path)
        raise ValueError("a reason")
    assert not ray.is_initialized()


def test_a_cluster_that_is_not_there_is_one_line():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(ConfigError, match=rf"ray.address = '{address}': nothing answers there .*; start the cluster"):
        ray_cluster(address).__enter__()
    assert not ray.is_initialized()


@pytest.mark.parametrize(("n_failure", "ends"), [(0, "up"), (2, "up"), (3, "too busy"), (1, "broken")])
def test_a_ray_that_starts_too_slowly_is_started_again_and_then_refused_in_one_line(
    n_failure, ends, monkeypatch, tmp_path
):
    starts = []

    def init(*arguments, **options):
        starts.append(options)
        if len(starts) <= n_failure:
            reason = "no disk" if ends == "broken" else "The current node timed out during startup. This could happen"
            raise Exception(reason)  # noqa: TRY002  (as Ray does)
        return "up"

    monkeypatch.setattr(ray, "init", init)
    if ends == "up":
        with quiet_ray(tmp_path) as context:
            assert context == "up"
        assert len(starts) == n_failure + 1
    elif ends == "too busy":
        with pytest.raises(ConfigError, match="did not start within 30 s, 3 times in a row; the machine is too busy"):
            quiet_ray(tmp_path).__enter__()
    else:
        with pytest.raises(Exception, match="no disk"):
            quiet_ray(tmp_path).__enter__()
        assert len(starts) == 1
