"""Small networks with hand-worked answers, and one with every kind of element."""

import numpy as np
from numpy.typing import NDArray

from gridenv.network import (
    BusTable,
    InjectionTable,
    LineTable,
    NetworkSpec,
    ShuntTable,
    SourceTable,
    SwitchTable,
    TransformerTable,
)


def floats(*values: float) -> NDArray[np.float64]:
    """A column of numbers."""
    return np.array(values, dtype=float)


def flags(*values: bool) -> NDArray[np.bool_]:
    """A column of truth values."""
    return np.array(values, dtype=bool)


def two_bus(p_kw: float = -1000.0, q_kvar: float = 0.0) -> NetworkSpec:
    """10 kV, one line of 1 + j2 ohm, one load; base impedance 100 ohm, so z = 0.01 + j0.02 pu."""
    return NetworkSpec(
        name="two_bus",
        buses=BusTable(id=("a", "b"), vn_kv=floats(10.0, 10.0)),
        sources=SourceTable(id=("grid",), bus=("a",), v_pu=floats(1.0)),
        lines=LineTable(
            id=("ab",), from_bus=("a",), to_bus=("b",), r_ohm=floats(1.0), x_ohm=floats(2.0), i_max_a=floats(100.0)
        ),
        injections=InjectionTable(id=("load.b",), bus=("b",), kind=("load",), p_kw=floats(p_kw), q_kvar=floats(q_kvar)),
    )


def everything() -> NetworkSpec:
    """20/0.4 kV: charging, an open line end, switches, two transformers with taps, a shunt, two sources."""
    return NetworkSpec(
        name="everything",
        buses=BusTable(
            id=("s", "m1", "m2", "m3", "m4", "l1", "l2", "t"), vn_kv=floats(20, 20, 20, 20, 20, 0.4, 0.4, 20)
        ),
        sources=SourceTable(
            id=("grid", "second"), bus=("s", "t"), v_pu=floats(1.02, 1.01), angle_rad=floats(0.1, 0.08)
        ),
        lines=LineTable(
            id=("line.0", "line.1", "line.2", "line.3", "line.4", "line.5"),
            from_bus=("s", "m1", "m2", "m3", "l1", "m4"),
            to_bus=("m1", "m2", "m3", "s", "l2", "t"),
            r_ohm=floats(0.5, 0.7, 0.4, 0.9, 0.02, 0.6),
            x_ohm=floats(0.4, 0.5, 0.3, 0.6, 0.01, 0.5),
            g_s=floats(1e-6, 0, 0, 0, 0, 0),
            b_s=floats(1e-4, 2e-4, 1e-4, 3e-4, 1e-6, 1e-4),
            i_max_a=floats(300, 300, np.inf, 300, 400, 300),
            to_closed=flags(True, True, False, True, True, True),
        ),
        transformers=TransformerTable(
            id=("trafo.0", "trafo.1"),
            hv_bus=("m2", "m3"),
            lv_bus=("l1", "l2"),
            s_kva=floats(400, 630),
            vn_hv_kv=floats(20, 21),
            vn_lv_kv=floats(0.4, 0.4),
            vk=floats(0.04, 0.06),
            vkr=floats(0.012, 0.011),
            p_iron_kw=floats(0.9, 1.2),
            i_no_load=floats(0.003, 0.004),
            shift_rad=floats(np.pi / 6, np.pi / 6),
            tap_pos=floats(-1, 2),
            tap_min=floats(-2, -4),
            tap_max=floats(2, 4),
            tap_step=floats(0.025, 0.01),
            tap_on_hv=flags(True, False),
            loading_base_kva=floats(400, 600),
        ),
        injections=InjectionTable(
            id=("load.0", "load.1", "sgen.0", "storage.0", "load.2", "load.3"),
            bus=("l2", "m2", "l1", "m4", "s", "m1"),
            kind=("load", "load", "sgen", "storage", "load", "load"),
            p_kw=floats(-200, -900, 150, 60, -500, -77),
            q_kvar=floats(-60, -300, 10, 0, -100, -7),
            in_service=flags(True, True, True, True, True, False),
        ),
        shunts=ShuntTable(
            id=("shunt.0",), bus=("m2",), p_kw=floats(-5.0), q_kvar=floats(250.0), v_rated_kv=floats(21.0)
        ),
        switches=SwitchTable(
            id=("switch.0", "switch.1"), bus_a=("m3", "m1"), bus_b=("m4", "m3"), closed=flags(True, False)
        ),
    )
