"""Networks of pandapower as tables; the only file of the project that imports pandapower, and only inside functions."""

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from gridenv.core.errors import NetworkError, UnsupportedElementError, did_you_mean, raise_collected
from gridenv.core.units import A_PER_KA, F_PER_NF, KVA_PER_MVA, KVAR_PER_MVAR, KW_PER_MW, PERCENT, S_PER_US
from gridenv.network.import_pandapower_phases import from_pandapower_phases
from gridenv.network.pandapower_tables import (
    at_live_bus,
    branch_ends_closed,
    column,
    dangling_switches,
    flags,
    missing_tables,
    names,
    tap_columns,
    unknown_tables,
    unsupported_options,
    without_incomplete,
)
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

BUILD_SEED = 0


def build_pandapower(function: str, arguments: dict[str, Any]) -> Any:
    """A network of `pandapower.networks`, such as `create_cigre_network_mv`; the same at every call.

    Kerber networks draw their cable types from Python's global generator, which is therefore seeded meanwhile.
    """
    import pandapower.networks

    state = random.getstate()
    random.seed(BUILD_SEED)
    try:
        with _quiet():
            return getattr(pandapower.networks, function)(**arguments)
    finally:
        random.setstate(state)


def build_simbench(code: str) -> Any:
    """The SimBench network of a code such as `1-LV-rural3--0-sw`, without its profiles.

    Raises:
        NetworkError: if there is no such code; the message suggests the closest one.
    """
    import simbench

    codes = simbench.collect_all_simbench_codes()
    if code not in codes:
        raise NetworkError(f"unknown SimBench code '{code}'{did_you_mean(code, codes)}")
    with _quiet():
        return simbench.get_simbench_net(code)


def read_pandapower(path: Path) -> Any:
    """The pandapower network of a file that `pandapower.to_json` wrote.

    Raises:
        NetworkError: if the file holds none.
    """
    import pandapower

    try:
        with _quiet():
            net = pandapower.from_json(str(path))
    except Exception as error:
        # pandapower raises whatever it stumbles over.
        raise NetworkError(
            f"network file '{path}': cannot be read as a pandapower network ({type(error).__name__}: {error}); write "
            "it with pandapower.to_json(net, file)"
        ) from error
    if not isinstance(net, pandapower.pandapowerNet):
        raise NetworkError(
            f"network file '{path}': holds a {type(net).__name__} and no pandapower network; write it with "
            "pandapower.to_json(net, file)"
        )
    return net


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings that pandapower raises about its own bundled files; a user cannot act on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@overload
def from_pandapower(net: Any, *, phases: Literal[1] = 1) -> NetworkSpec: ...
@overload
def from_pandapower(net: Any, *, phases: Literal[3]) -> PhaseNetworkSpec: ...
def from_pandapower(net: Any, *, phases: int = 1) -> NetworkSpec | PhaseNetworkSpec:
    """Convert a pandapower network, balanced or with data of all three phases.

    Buses are named by `str(index)`, elements `line.0`, `trafo.0`, `load.12`, `sgen.3`, `storage.0`, `shunt.0`,
    `switch.4`, `ext_grid.0`. Injections are in the order loads, static generators, storage. What is out of service is
    kept, but for elements that lack data or, with `phases=3`, are not modelled: those are left out. Results agree with
    `pandapower.runpp(net)` and its default options; controllers are not run.

    With `phases=3` they agree with `pandapower.runpp_3ph(net)`. Elements of `asymmetric_load` and `asymmetric_sgen`
    become one injection a phase, `asymmetric_load.5.a`; loads and generators draw or feed a third in each phase and,
    where their type is "delta", between the phases. Closed bus-bus switches are lines of next to no impedance, a line
    that is open at one end is out of service. A transformer with no-load losses has its core at a bus of its own,
    `trafo.0.core`.

    Args:
        net: network.
        phases: 1 for a balanced network, 3 for one with zero-sequence data.

    Raises:
        UnsupportedElementError: for in-service elements that are not modelled; names table and indices.
        NetworkError: for inconsistent or missing data, and for anything that is no pandapower network.

    Source: pandapower 3.5 documentation, electric model of each element.
    """
    if phases == 3:
        return from_pandapower_phases(net)
    if phases != 1:
        raise NetworkError(f"from_pandapower: phases = {phases}; allowed: 1 (balanced) or 3; choose one")
    raise_collected([*missing_tables(net)], NetworkError)
    raise_collected([*unknown_tables(net), *unsupported_options(net)], UnsupportedElementError)
    raise_collected([*dangling_switches(net)], NetworkError)
    net = without_incomplete(net, {})
    spec = NetworkSpec(
        name=str(net.name or "pandapower"),
        buses=BusTable(
            id=names(net.bus.index), vn_kv=column(net.bus, "vn_kv"), in_service=flags(net.bus, "in_service")
        ),
        sources=_sources(net),
        lines=_lines(net),
        transformers=_transformers(net),
        injections=_injections(net),
        shunts=_shunts(net),
        switches=_switches(net),
    )
    validate(spec, allow_islands=True)
    return spec


def _sources(net: Any) -> SourceTable:
    table = net.ext_grid[flags(net.ext_grid, "in_service")]
    return SourceTable(
        id=names(table.index, "ext_grid."),
        bus=names(table.bus),
        v_pu=column(table, "vm_pu"),
        angle_rad=np.deg2rad(column(table, "va_degree", 0.0)),
    )


def _lines(net: Any) -> LineTable:
    table = net.line
    length_km, parallel = column(table, "length_km"), column(table, "parallel", 1.0)
    omega_per_s = 2.0 * np.pi * net.f_hz
    i_max_a = column(table, "max_i_ka", np.inf) * column(table, "df", 1.0) * parallel * A_PER_KA
    from_closed, to_closed = branch_ends_closed(net, table, "l", "to_bus")
    return LineTable(
        id=names(table.index, "line."),
        from_bus=names(table.from_bus),
        to_bus=names(table.to_bus),
        r_ohm=column(table, "r_ohm_per_km") * length_km / parallel,
        x_ohm=column(table, "x_ohm_per_km") * length_km / parallel,
        g_s=column(table, "g_us_per_km", 0.0) * S_PER_US * length_km * parallel,
        b_s=omega_per_s * column(table, "c_nf_per_km", 0.0) * F_PER_NF * length_km * parallel,
        i_max_a=i_max_a,
        in_service=flags(table, "in_service"),
        from_closed=from_closed,
        to_closed=to_closed,
    )


def _transformers(net: Any) -> TransformerTable:
    table = net.trafo
    s_kva = column(table, "sn_mva") * KVA_PER_MVA
    hv_closed, lv_closed = branch_ends_closed(net, table, "t", "lv_bus")
    return TransformerTable(
        id=names(table.index, "trafo."),
        hv_bus=names(table.hv_bus),
        lv_bus=names(table.lv_bus),
        s_kva=s_kva,
        vn_hv_kv=column(table, "vn_hv_kv"),
        vn_lv_kv=column(table, "vn_lv_kv"),
        vk=column(table, "vk_percent") / PERCENT,
        vkr=column(table, "vkr_percent") / PERCENT,
        r_share_hv=column(table, "leakage_resistance_ratio_hv", 0.5),
        x_share_hv=column(table, "leakage_reactance_ratio_hv", 0.5),
        p_iron_kw=column(table, "pfe_kw"),
        i_no_load=column(table, "i0_percent") / PERCENT,
        shift_rad=np.deg2rad(column(table, "shift_degree", 0.0)),
        parallel=column(table, "parallel", 1.0),
        loading_base_kva=s_kva * column(table, "df", 1.0),
        in_service=flags(table, "in_service"),
        hv_closed=hv_closed,
        lv_closed=lv_closed,
        **tap_columns(table),
    )


def _injections(net: Any) -> InjectionTable:
    parts = (("load", net.load, -1.0), ("sgen", net.sgen, 1.0), ("storage", net.storage, -1.0))
    scaled = [(kind, table, sign * column(table, "scaling", 1.0)) for kind, table, sign in parts]
    return InjectionTable(
        id=sum((names(table.index, f"{kind}.") for kind, table, _ in scaled), ()),
        bus=sum((names(table.bus) for _, table, _ in scaled), ()),
        kind=sum(((kind,) * len(table) for kind, table, _ in scaled), ()),
        p_kw=np.concatenate([column(table, "p_mw") * factor * KW_PER_MW for _, table, factor in scaled]),
        q_kvar=np.concatenate([column(table, "q_mvar", 0.0) * factor * KVAR_PER_MVAR for _, table, factor in scaled]),
        in_service=np.concatenate([at_live_bus(net, table) for _, table, _ in scaled]),
    )


def _shunts(net: Any) -> ShuntTable:
    table = net.shunt
    step, v_rated_kv = column(table, "step", 1.0), column(table, "vn_kv")
    v_bus_kv = column(net.bus, "vn_kv")[net.bus.index.get_indexer(table.bus)]
    return ShuntTable(
        id=names(table.index, "shunt."),
        bus=names(table.bus),
        p_kw=-column(table, "p_mw") * step * KW_PER_MW,
        q_kvar=-column(table, "q_mvar") * step * KVAR_PER_MVAR,
        v_rated_kv=np.where(np.isfinite(v_rated_kv), v_rated_kv, v_bus_kv),
        in_service=at_live_bus(net, table),
    )


def _switches(net: Any) -> SwitchTable:
    table = net.switch[net.switch.et.to_numpy() == "b"]
    return SwitchTable(
        id=names(table.index, "switch."),
        bus_a=names(table.bus),
        bus_b=names(table.element),
        closed=flags(table, "closed"),
    )
