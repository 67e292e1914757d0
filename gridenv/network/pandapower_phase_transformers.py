"""Transformers of a pandapower network with zero-sequence data as three-phase units; does not import pandapower.

pandapower has a T circuit for each sequence: leakage split between the sides, and the core at the point between. The
positive-sequence T becomes a unit whose second winding is at a bus of its own, `trafo.0.core`, where the core is;
without no-load losses there is none. What else passes in the zero sequence goes into neutral impedances, which only
that sequence sees, and for YNyn into a delta winding at the core, whose leakage is the zero-sequence core impedance.

Source: pandapower 3.5, `build_branch._calc_trafo_parameter` and `pd2ppc_zero._add_trafo_sc_impedance_zero`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gridenv.core.errors import UnsupportedElementError, raise_collected
from gridenv.core.units import KVA_PER_MVA, PERCENT
from gridenv.network.pandapower_tables import at_live_bus, branch_ends_closed, column, names, tap_columns
from gridenv.network.phase_tables import PhaseTransformerTable, WindingTable, table_of
from gridenv.network.spec import BusTable, TransformerTable
from gridenv.network.transformer import transformer_model, turns_ratio

VECTOR_GROUPS = ("dyn", "ynyn", "yzn")
_ROTATED = {0: "123", 1: "312", 2: "231"}
"""Turns of the low-voltage side by 120 degrees -> conductors of its phases."""
_ZIGZAG = 1.1547
"""Factor on the zero-sequence admittance of a zigzag winding. Source: pandapower 3.5, 2 / sqrt(3) in four digits."""
_STRAY_SHARE = 1e-6
"""Keeps the delta at the core of a YNyn unit from floating. Source: default of OpenDSS, `ppm_antifloat`."""
_ALMOST_WHOLE = 1e-6


@dataclass(frozen=True, kw_only=True)
class _Unit:
    """A transformer in pu of its rating and of its windings' voltages at the present tap."""

    id: str
    group: str
    hv_bus: str
    lv_bus: str
    s_kva: float
    v_hv_kv: float
    v_lv_kv: float
    tap_hv: float
    tap_lv: float
    shift_deg: float
    z_hv: complex
    z_lv: complex
    y_core: complex
    z0_hv: complex
    z0_lv: complex
    z0_core: complex
    sn_mva: float
    vn_lv_bus_kv: float
    r_neutral_ohm: float
    x_neutral_ohm: float
    in_service: bool


def transformer_tables(net: Any) -> tuple[PhaseTransformerTable, WindingTable, BusTable]:
    """Transformers, their windings, and the buses at which their cores are.

    Raises:
        UnsupportedElementError: for vector groups and phase shifts that are not modelled; a unit out of service that
            has them is left out.
    """
    units = [(unit, list(_problems(net, unit))) for unit in _units(net)]
    raise_collected([p for unit, found in units if unit.in_service for p in found], UnsupportedElementError)
    transformers, windings, buses = [], [], []
    for unit in (unit for unit, found in units if not found):
        transformer, unit_windings = _rows(unit)
        transformers.append(transformer)
        windings += unit_windings
        if len(unit_windings) > 2:
            buses.append({"id": f"{unit.id}.core", "vn_kv": unit.vn_lv_bus_kv, "in_service": unit.in_service})
    return table_of(PhaseTransformerTable, transformers), table_of(WindingTable, windings), table_of(BusTable, buses)


def _units(net: Any) -> Iterator[_Unit]:
    trafo = net.trafo
    s_kva = column(trafo, "sn_mva") * KVA_PER_MVA
    parallel = column(trafo, "parallel", 1.0)
    table = TransformerTable(
        id=names(trafo.index, "trafo."),
        hv_bus=names(trafo.hv_bus),
        lv_bus=names(trafo.lv_bus),
        s_kva=s_kva,
        vn_hv_kv=column(trafo, "vn_hv_kv"),
        vn_lv_kv=column(trafo, "vn_lv_kv"),
        vk=column(trafo, "vk_percent") / PERCENT,
        vkr=column(trafo, "vkr_percent") / PERCENT,
        p_iron_kw=column(trafo, "pfe_kw"),
        i_no_load=column(trafo, "i0_percent") / PERCENT,
        shift_rad=np.deg2rad(column(trafo, "shift_degree", 0.0)),
        loading_base_kva=s_kva,
        **tap_columns(trafo),
    )
    model = transformer_model(table, table.vn_hv_kv, table.vn_lv_kv, 1.0)
    tap_hv, tap_lv, shift_rad = turns_ratio(model, table.tap_pos)
    vn_kv = dict(zip(names(net.bus.index), column(net.bus, "vn_kv"), strict=True))
    closed = np.logical_and(*branch_ends_closed(net, trafo, "t", "lv_bus"))
    z, y_core = model.z_pu * s_kva, model.y_pu / s_kva
    r_share, x_share = (column(trafo, f"leakage_{n}_ratio_hv", 0.5) for n in ("resistance", "reactance"))
    z_hv = z.real * r_share + 1j * z.imag * x_share
    z_0, z0_core = _zero_sequence(trafo, table)
    share = column(trafo, "si0_hv_partial")
    r_neutral, x_neutral = (column(trafo, name, 0.0) for name in ("rn_ohm", "xn_ohm"))
    groups = [str(group).lower() for group in trafo.get("vector_group", ())]
    in_service = at_live_bus(net, trafo) & closed
    for k, name in enumerate(table.id):
        yield _Unit(
            id=name,
            group=groups[k],
            hv_bus=table.hv_bus[k],
            lv_bus=table.lv_bus[k],
            s_kva=float(s_kva[k] * parallel[k]),
            v_hv_kv=float(table.vn_hv_kv[k]),
            v_lv_kv=float(table.vn_lv_kv[k]),
            tap_hv=float(tap_hv[k]),
            tap_lv=float(tap_lv[k]),
            shift_deg=float(np.rad2deg(shift_rad[k])),
            z_hv=complex(z_hv[k]),
            z_lv=complex(z[k] - z_hv[k]),
            y_core=complex(y_core[k]),
            z0_hv=complex(share[k] * z_0[k]),
            z0_lv=complex((1.0 - share[k]) * z_0[k]),
            z0_core=complex(z0_core[k]),
            sn_mva=float(net.sn_mva),
            vn_lv_bus_kv=float(vn_kv[table.lv_bus[k]]),
            r_neutral_ohm=float(r_neutral[k]),
            x_neutral_ohm=float(x_neutral[k]),
            in_service=bool(in_service[k]),
        )


def _zero_sequence(trafo: Any, table: TransformerTable) -> tuple[Any, Any]:
    """Leakage and core impedance in the zero sequence; leakage data of 0 stand for those of the positive sequence."""
    vk_0, vkr_0 = column(trafo, "vk0_percent") / PERCENT, column(trafo, "vkr0_percent") / PERCENT
    vk_0, vkr_0 = np.where(vk_0 == 0.0, table.vk, vk_0), np.where(vkr_0 == 0.0, table.vkr, vkr_0)
    rx = column(trafo, "mag0_rx")
    x_core = vk_0 * column(trafo, "mag0_percent") / PERCENT / np.sqrt(rx**2 + 1.0)
    return vkr_0 + 1j * np.sqrt(vk_0**2 - vkr_0**2), (rx + 1j) * x_core


def _problems(net: Any, unit: _Unit) -> Iterator[str]:
    where = f"pandapower network '{net.name or ''}': '{unit.id}'"
    if unit.group not in VECTOR_GROUPS:
        yield f"{where} has vector_group = {unit.group}; allowed: Dyn, YNyn, Yzn without a number; change it"
    if unit.group == "ynyn":
        allowed, fits = "0", abs(unit.shift_deg % 360.0) < _ALMOST_WHOLE
    else:
        allowed, fits = "odd multiples of 30", not all(_turns(unit.shift_deg + step) is None for step in (-30.0, 30.0))
    if unit.group in VECTOR_GROUPS and not fits:
        yield f"{where} has a shift of {unit.shift_deg:g} degrees with its tap; allowed for {unit.group}: {allowed}"
    for name, value_ohm in (("xn_ohm", unit.x_neutral_ohm), ("rn_ohm", unit.r_neutral_ohm)):
        if value_ohm > 0.0:
            yield f"{where} has {name} = {value_ohm:g}; allowed: 0, a neutral at ground; clear it"


def _turns(angle_deg: float) -> int | None:
    """Whole turns of 120 degrees in an angle, 0..2, or None."""
    turns = angle_deg / 120.0
    return round(turns) % 3 if abs(turns - round(turns)) < _ALMOST_WHOLE else None


def _rows(unit: _Unit) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    has_core = unit.y_core != 0.0 or unit.group == "ynyn"
    lags = unit.group == "ynyn" or _turns(unit.shift_deg - 30.0) is not None
    turns = _turns(unit.shift_deg - (0.0 if unit.group == "ynyn" else 30.0 if lags else -30.0))
    z_core = unit.z0_core if unit.group == "ynyn" else 0.0j
    y_core = unit.y_core / (1.0 - unit.y_core * z_core)
    zn_hv, zn_lv = _neutrals(unit)
    star = unit.group == "ynyn"
    hv = _winding(unit, 1, unit.hv_bus, "123", "wye" if star else "delta", unit.v_hv_kv, unit.z_hv) | {
        "tap": unit.tap_hv,
        "z_neutral_ohm": zn_hv * unit.v_hv_kv**2 * unit.tap_hv**2 / unit.s_kva * KVA_PER_MVA,
    }
    core = _winding(unit, 2, f"{unit.id}.core", "123", "delta" if star else "wye", unit.vn_lv_bus_kv, z_core)
    lv = _winding(unit, 3 if has_core else 2, unit.lv_bus, _ROTATED[turns or 0], "wye", unit.v_lv_kv, unit.z_lv) | {
        "tap": unit.tap_lv,
        "z_neutral_ohm": zn_lv * unit.v_lv_kv**2 * unit.tap_lv**2 / unit.s_kva * KVA_PER_MVA,
    }
    x_hv, x_core, x_lv = unit.z_hv.imag, z_core.imag, unit.z_lv.imag
    transformer = {
        "id": unit.id,
        "n_phase": 3.0,
        "x_12": x_hv + (x_core if has_core else x_lv),
        "x_13": x_hv + x_lv if has_core else 0.0,
        "x_23": x_core + x_lv if has_core else 0.0,
        "p_no_load": y_core.real,
        "i_magnetising": -y_core.imag,
        "stray_share": _STRAY_SHARE if star else 0.0,
        "lag_30": lags,
        "in_service": unit.in_service,
    }
    return transformer, [hv, core, lv] if has_core else [hv, lv]


def _winding(unit: _Unit, k: int, bus: str, phases: str, connection: str, v_kv: float, z: complex) -> dict[str, Any]:
    return {
        "id": f"{unit.id}.{k}",
        "transformer": unit.id,
        "bus": bus,
        "phases": phases,
        "connection": connection,
        "v_kv": v_kv,
        "s_kva": unit.s_kva,
        "r": z.real,
        "tap": 1.0,
        "z_neutral_ohm": 0.0j,
    }


def _neutrals(unit: _Unit) -> tuple[complex, complex]:
    """Neutral impedances, pu of the rating, that make the zero sequence what pandapower has; they can be negative."""
    if unit.group == "ynyn":
        return (unit.z0_hv - unit.z_hv) / 3.0, (unit.z0_lv - unit.z_lv) / 3.0
    if unit.group == "dyn":
        wanted = unit.z0_lv + 1.0 / (1.0 / unit.z0_hv + 1.0 / unit.z0_core)
    else:
        wanted = (unit.z0_lv + unit.z0_core) / (_ZIGZAG * unit.sn_mva)
    without = unit.z_lv + 1.0 / (1.0 / unit.z_hv + unit.y_core)
    return 0.0j, (wanted - without) / 3.0
