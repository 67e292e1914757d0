"""IEEE 33-bus feeder of Baran and Wu: 12.66 kV, 32 branches and 5 open tie lines, 3715 kW and 2300 kvar of load.

Source: M. E. Baran, F. F. Wu, Network reconfiguration in distribution systems for loss reduction and load balancing,
IEEE Transactions on Power Delivery 4(2), 1989, doi 10.1109/61.25627; values as in MATPOWER's case33bw. Branch 7 is
0.7114 + j0.2351 ohm, which gives the usual 202.7 kW of losses; some data sets have 1.7114 + j1.2351 ohm. No ratings
are published, so none limits a line here.
"""

import numpy as np

from gridenv.network.spec import BusTable, InjectionTable, LineTable, NetworkSpec, SourceTable

VN_KV = 12.66

# From bus, to bus, resistance (ohm), reactance (ohm); the line number is the place in the list.
BRANCHES = (
    (1, 2, 0.0922, 0.0470),
    (2, 3, 0.4930, 0.2511),
    (3, 4, 0.3660, 0.1864),
    (4, 5, 0.3811, 0.1941),
    (5, 6, 0.8190, 0.7070),
    (6, 7, 0.1872, 0.6188),
    (7, 8, 0.7114, 0.2351),
    (8, 9, 1.0300, 0.7400),
    (9, 10, 1.0440, 0.7400),
    (10, 11, 0.1966, 0.0650),
    (11, 12, 0.3744, 0.1238),
    (12, 13, 1.4680, 1.1550),
    (13, 14, 0.5416, 0.7129),
    (14, 15, 0.5910, 0.5260),
    (15, 16, 0.7463, 0.5450),
    (16, 17, 1.2890, 1.7210),
    (17, 18, 0.7320, 0.5740),
    (2, 19, 0.1640, 0.1565),
    (19, 20, 1.5042, 1.3554),
    (20, 21, 0.4095, 0.4784),
    (21, 22, 0.7089, 0.9373),
    (3, 23, 0.4512, 0.3083),
    (23, 24, 0.8980, 0.7091),
    (24, 25, 0.8960, 0.7011),
    (6, 26, 0.2030, 0.1034),
    (26, 27, 0.2842, 0.1447),
    (27, 28, 1.0590, 0.9337),
    (28, 29, 0.8042, 0.7006),
    (29, 30, 0.5075, 0.2585),
    (30, 31, 0.9744, 0.9630),
    (31, 32, 0.3105, 0.3619),
    (32, 33, 0.3410, 0.5302),
)

TIES = (
    (21, 8, 2.0, 2.0),
    (9, 15, 2.0, 2.0),
    (12, 22, 2.0, 2.0),
    (18, 33, 0.5, 0.5),
    (25, 29, 0.5, 0.5),
)

# Bus, active demand (kW), reactive demand (kvar).
DEMANDS = (
    (2, 100, 60),
    (3, 90, 40),
    (4, 120, 80),
    (5, 60, 30),
    (6, 60, 20),
    (7, 200, 100),
    (8, 200, 100),
    (9, 60, 20),
    (10, 60, 20),
    (11, 45, 30),
    (12, 60, 35),
    (13, 60, 35),
    (14, 120, 80),
    (15, 60, 10),
    (16, 60, 20),
    (17, 60, 20),
    (18, 90, 40),
    (19, 90, 40),
    (20, 90, 40),
    (21, 90, 40),
    (22, 90, 40),
    (23, 90, 50),
    (24, 420, 200),
    (25, 420, 200),
    (26, 60, 25),
    (27, 60, 25),
    (28, 60, 20),
    (29, 120, 70),
    (30, 200, 600),
    (31, 150, 70),
    (32, 210, 100),
    (33, 60, 40),
)


def build() -> NetworkSpec:
    """The feeder: buses `1`..`33`, lines `line.1`..`line.37` (33..37 the open ties), loads `load.2`..`load.33`."""
    rows = BRANCHES + TIES
    closed = np.arange(len(rows)) < len(BRANCHES)
    buses = tuple(str(n) for n in range(1, 34))
    return NetworkSpec(
        name="ieee33",
        buses=BusTable(id=buses, vn_kv=np.full(len(buses), VN_KV)),
        sources=SourceTable(id=("source.1",), bus=("1",), v_pu=np.ones(1)),
        lines=LineTable(
            id=tuple(f"line.{n}" for n in range(1, len(rows) + 1)),
            from_bus=tuple(str(row[0]) for row in rows),
            to_bus=tuple(str(row[1]) for row in rows),
            r_ohm=np.array([row[2] for row in rows]),
            x_ohm=np.array([row[3] for row in rows]),
            from_closed=closed,
            to_closed=closed,
        ),
        injections=InjectionTable(
            id=tuple(f"load.{bus}" for bus, _, _ in DEMANDS),
            bus=tuple(str(bus) for bus, _, _ in DEMANDS),
            kind=("load",) * len(DEMANDS),
            p_kw=-np.array([p_kw for _, p_kw, _ in DEMANDS], dtype=float),
            q_kvar=-np.array([q_kvar for _, _, q_kvar in DEMANDS], dtype=float),
        ),
    )
