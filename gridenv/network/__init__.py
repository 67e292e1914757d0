"""Network descriptions, their checks and import, the bundled cases, and their compilation to arrays; imports no JAX."""

from gridenv.network.arrays import Network
from gridenv.network.catalog import list_networks, load_balanced, load_network
from gridenv.network.compile import compile_network
from gridenv.network.import_opendss import OpenDssImport, from_opendss, read_opendss
from gridenv.network.import_pandapower import from_pandapower
from gridenv.network.phase_tables import PhaseNetworkSpec
from gridenv.network.spec import (
    BusTable,
    InjectionTable,
    LineTable,
    NetworkSpec,
    ShuntTable,
    SourceTable,
    SwitchTable,
    TransformerTable,
)
from gridenv.network.validate import validate

__all__ = [
    "BusTable",
    "InjectionTable",
    "LineTable",
    "Network",
    "NetworkSpec",
    "OpenDssImport",
    "PhaseNetworkSpec",
    "ShuntTable",
    "SourceTable",
    "SwitchTable",
    "TransformerTable",
    "compile_network",
    "from_opendss",
    "from_pandapower",
    "list_networks",
    "load_balanced",
    "load_network",
    "read_opendss",
    "validate",
]
