"""Networks by name: bundled cases, networks of pandapower and SimBench, converted once and cached on disk.

Bundled cases are modules with a function `build`, or YAML files as `phase_yaml` or `balanced_yaml` reads them.
"""

import importlib
import pkgutil
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from gridenv.core.errors import NetworkError, did_you_mean
from gridenv.network import balanced_yaml, cases, own, phase_yaml
from gridenv.network.converted import converted
from gridenv.network.phase_tables import PhaseNetworkSpec
from gridenv.network.spec import NetworkSpec

SIMBENCH_PREFIX = "simbench:"
_DESCRIPTION = re.compile(r"^description: *['\"]?(.*?)['\"]?$", re.MULTILINE)

Spec = NetworkSpec | PhaseNetworkSpec


@dataclass(frozen=True, kw_only=True)
class PandapowerNetwork:
    """A network that pandapower can build."""

    function: str
    """Name in `pandapower.networks`."""
    description: str
    arguments: dict[str, Any] = field(default_factory=dict)
    phases: Literal[1, 3] = 1
    """3 for networks with data of every phase, 1 for balanced ones."""


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
    "european_lv": PandapowerNetwork(
        function="ieee_european_lv_asymmetric",
        arguments={"scenario": "on_peak_566"},
        description="IEEE European low-voltage feeder, 55 single-phase loads at minute 566, three-phase, 11/0.416 kV",
        phases=3,
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
    bundled = {name: _description(name) for name in _case_names()}
    converted = {name: network.description for name, network in PANDAPOWER_NETWORKS.items()}
    simbench = {f"{SIMBENCH_PREFIX}CODE": 'any SimBench code, such as "1-LV-rural3--0-sw"; needs the extra [simbench]'}
    return bundled | converted | simbench


def load_network(name: str) -> Spec:
    """A network by its catalogue name; unbalanced feeders as a `PhaseNetworkSpec`, balanced ones as a `NetworkSpec`.

    Networks of pandapower and SimBench are converted at the first call and read from the cache after that, which
    imports neither package. Networks that are not in the catalogue come from a file, from `from_pandapower` (either
    kind), from `from_opendss` (a `PhaseNetworkSpec`), or from tables of your own.

    Args:
        name: one of `list_networks()`, `simbench:` and a SimBench code, or the path of a file: a pandapower network
            (`.json`, as `pandapower.to_json` writes it), a network file (`.yaml`) or an OpenDSS script (`.dss`).

    Raises:
        NetworkError: if there is no network of this name, where the message suggests the closest one, or no such file.
        MissingExtraError: if the network needs a package that is not installed.
    """
    if own.is_own(name):
        return own.load_own(name)
    if name in _case_names():
        balanced, phases = _case_files(name)
        if balanced.is_file():
            return balanced_yaml.load(balanced)
        spec: Spec = phase_yaml.load(phases) if phases.is_file() else _case(name).build()
        return spec
    if name in PANDAPOWER_NETWORKS:
        return converted(name, ("pandapower",), lambda: replace(_convert_pandapower(name), name=name))
    if name.startswith(SIMBENCH_PREFIX):
        return converted(name, ("pandapower", "simbench"), lambda: replace(_convert_simbench(name), name=name))
    hint = did_you_mean(name, list_networks())
    files = "" if "mean" in hint else "; or give the path of a file that ends in .json (pandapower), .yaml or .dss"
    raise NetworkError(f"unknown network '{name}'{hint}{files}")


def load_balanced(name: str) -> NetworkSpec:
    """As `load_network`, for what takes balanced networks only.

    Raises:
        NetworkError: also if the network has three unbalanced phases.
    """
    spec = load_network(name)
    if not isinstance(spec, NetworkSpec):
        raise NetworkError(f"network '{name}' has three unbalanced phases; allowed: a balanced one, such as 'ieee33'")
    return spec


def _case_names() -> list[str]:
    modules = [module.name for module in pkgutil.iter_modules(cases.__path__)]
    return sorted([*modules, *(path.name.partition(".")[0] for path in _case_folder().glob("*.yaml"))])


def _case_folder() -> Path:
    return Path(cases.__path__[0])


def _case_files(name: str) -> tuple[Path, Path]:
    """Where a balanced and a three-phase case of this name would be."""
    return _case_folder() / f"{name}.balanced.yaml", _case_folder() / f"{name}.yaml"


def _description(name: str) -> str:
    files = [path for path in _case_files(name) if path.is_file()]
    if not files:
        return (_case(name).__doc__ or "").partition("\n")[0]
    found = _DESCRIPTION.search(files[0].read_text(encoding="utf-8"))
    return found.group(1) if found else name


def _case(name: str) -> Any:
    return importlib.import_module(f"{cases.__name__}.{name}")


def _convert_pandapower(name: str) -> Spec:
    from gridenv.network.import_pandapower import build_pandapower, from_pandapower

    network = PANDAPOWER_NETWORKS[name]
    net = build_pandapower(network.function, network.arguments)
    return from_pandapower(net, phases=network.phases)


def _convert_simbench(name: str) -> Spec:
    from gridenv.network.import_pandapower import build_simbench, from_pandapower

    return from_pandapower(build_simbench(name.removeprefix(SIMBENCH_PREFIX)))
