"""Networks by name: bundled cases, networks of pandapower and SimBench, converted once and cached on disk."""

import hashlib
import importlib
import importlib.metadata
import pkgutil
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gridenv.core.cache import cache_dir
from gridenv.core.errors import MissingExtraError, NetworkError, did_you_mean
from gridenv.network import cases, storage
from gridenv.network.spec import NetworkSpec

SIMBENCH_PREFIX = "simbench:"
_DAMAGED_FILE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
_CONVERTER_SOURCES = ("import_pandapower.py", "pandapower_tables.py", "spec.py", "storage.py", "catalog.py")


@dataclass(frozen=True, kw_only=True)
class PandapowerNetwork:
    """A network that pandapower can build."""

    function: str
    """Name in `pandapower.networks`."""
    description: str
    arguments: dict[str, Any] = field(default_factory=dict)


PANDAPOWER_NETWORKS = {
    "case33bw": PandapowerNetwork(function="case33bw", description="IEEE 33-bus feeder as pandapower has it, 12.66 kV"),
    "cigre_lv": PandapowerNetwork(
        function="create_cigre_network_lv", description="CIGRE low-voltage benchmark, three feeders, 20/0.4 kV"
    ),
    "cigre_mv": PandapowerNetwork(
        function="create_cigre_network_mv",
        arguments={"with_der": False},
        description="CIGRE medium-voltage benchmark without generators, 110/20 kV",
    ),
    "cigre_mv_pv_wind": PandapowerNetwork(
        function="create_cigre_network_mv",
        arguments={"with_der": "pv_wind"},
        description="CIGRE medium-voltage benchmark with PV and wind, 110/20 kV",
    ),
    "cigre_mv_all": PandapowerNetwork(
        function="create_cigre_network_mv",
        arguments={"with_der": "all"},
        description="CIGRE medium-voltage benchmark with PV, wind, storage and cogeneration, 110/20 kV",
    ),
    "kerber_dorfnetz": PandapowerNetwork(
        function="create_kerber_dorfnetz", description="Kerber village network, 57 loads, 10/0.4 kV"
    ),
    "kerber_landnetz_freileitung_1": PandapowerNetwork(
        function="create_kerber_landnetz_freileitung_1",
        description="Kerber rural overhead network, 13 loads, 10/0.4 kV",
    ),
    "mv_oberrhein": PandapowerNetwork(
        function="mv_oberrhein",
        description="Upper Rhine network, two substations, 147 loads, 153 generators, 110/20 kV",
    ),
    "synth_vc_rural_1": PandapowerNetwork(
        function="create_synthetic_voltage_control_lv_network",
        arguments={"network_class": "rural_1"},
        description="synthetic rural low-voltage network for voltage control studies, 20/0.4 kV",
    ),
}


def list_networks() -> dict[str, str]:
    """Names that `load_network` knows, with a one-line description each."""
    bundled = {name: (_case(name).__doc__ or "").partition("\n")[0] for name in _case_names()}
    converted = {name: network.description for name, network in PANDAPOWER_NETWORKS.items()}
    simbench = {f"{SIMBENCH_PREFIX}CODE": 'any SimBench code, such as "1-LV-rural3--0-sw"; needs the extra [simbench]'}
    return bundled | converted | simbench


def load_network(name: str) -> NetworkSpec:
    """A network by its catalogue name.

    Networks of pandapower and SimBench are converted at the first call and read from the cache after that, which
    imports neither package.

    Args:
        name: one of `list_networks()`, or `simbench:` and a SimBench code.

    Raises:
        NetworkError: if there is no network of this name; the message suggests the closest one.
        MissingExtraError: if the network needs a package that is not installed.
    """
    if name in _case_names():
        return _case(name).build()
    if name in PANDAPOWER_NETWORKS:
        return _cached(name, ("pandapower",), _convert_pandapower)
    if name.startswith(SIMBENCH_PREFIX):
        return _cached(name, ("pandapower", "simbench"), _convert_simbench)
    raise NetworkError(f"unknown network '{name}'{did_you_mean(name, list_networks())}")


def _case_names() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(cases.__path__)]


def _case(name: str) -> Any:
    return importlib.import_module(f"{cases.__name__}.{name}")


def _convert_pandapower(name: str) -> NetworkSpec:
    from gridenv.network.import_pandapower import build_pandapower, from_pandapower

    network = PANDAPOWER_NETWORKS[name]
    return from_pandapower(build_pandapower(network.function, network.arguments))


def _convert_simbench(name: str) -> NetworkSpec:
    from gridenv.network.import_pandapower import build_simbench, from_pandapower

    return from_pandapower(build_simbench(name.removeprefix(SIMBENCH_PREFIX)))


def _cached(name: str, packages: tuple[str, ...], convert: Callable[[str], NetworkSpec]) -> NetworkSpec:
    """The network from the cache, or converted and put there; a damaged file is written anew."""
    path = cache_dir("networks") / f"{_cache_key(name, packages)}.npz"
    try:
        return storage.load(path)
    except _DAMAGED_FILE:
        spec = replace(convert(name), name=name)
        storage.save(spec, path)
        return spec


def _cache_key(name: str, packages: tuple[str, ...]) -> str:
    """Changes with the packages' versions and with the code that converts and stores."""
    digest = hashlib.sha256(f"{name}\n{storage.FORMAT_VERSION}\n".encode())
    for package in packages:
        digest.update(f"{package} {_version(package)}\n".encode())
    for source in _CONVERTER_SOURCES:
        digest.update(Path(__file__).with_name(source).read_bytes())
    return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise MissingExtraError(
            f"network catalogue: package '{package}' is not installed; "
            f'install it with pip install "gridenv[{package}]"'
        ) from None
