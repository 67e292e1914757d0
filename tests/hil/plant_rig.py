"""A rig file of one inverter and one meter for tests that need no simulator."""

from pathlib import Path

import yaml

from gridenv.core.channels import Channel, ChannelSet
from hardware_in_loop.rig.files import RigFile, load_rig
from hardware_in_loop.virtual_rig.device import VirtualDevice

MODELS = [
    1,
    701,
    702,
    703,
    704,
    705,
    706,
    712,
    713,
    714,
    715,
    101,
    102,
    103,
    120,
    121,
    122,
    123,
    124,
    201,
    202,
    203,
    204,
]


def channel(name: str, unit: str, low: float, high: float) -> Channel:
    low, high = float(low), float(high)
    return Channel(name=name, unit=unit, low=low, high=high, scale=max(abs(low), abs(high)), source=name)


OBSERVATION = ChannelSet(
    (channel("pv.1.p_kw", "kW", 0, 20), channel("pv.1.q_kvar", "kvar", -20, 20), channel("load.1.p_kw", "kW", -20, 20))
)
ACTION = ChannelSet((channel("pv.1.q_share", "", -1, 1),))
SETPOINT = {
    "device": "pv",
    "point": "704.VarSetPct",
    "sign": "grid",
    "low": -1.0,
    "high": 1.0,
    "ramp_per_s": 2.0,
    "safe_value": 0.0,
    "together": {
        "704.VarSetEna": 1,
        "704.VarSetMod": 2,
        "704.VarSetPri": 0,
        "704.VarSet": 0,
        "704.VarSetRvrt": 0,
        "704.VarSetPctRvrt": 0,
        "704.VarSetEnaRvrt": 0,
    },
    "apply": "704.VarSetEna",
    "reversion": {"timer": "704.VarSetRvrtTms", "remaining": "704.VarSetRvrtRem"},
}
METER = """\
points:
  - {name: p, address: 10, table: input, type: int32, byte_order: CDAB, scale: 0.1, unit: W, sign: load}
  - {name: beat, address: 12, table: input, type: uint16, scale: 1}
"""


def settings(pv_port: int, meter_port: int) -> dict:
    """The rig file as values; ports of the two devices."""

    def tcp(port):
        return {"type": "tcp", "host": "127.0.0.1", "port": port, "timeout_s": 0.7}

    return {
        "schema": "gridenv.rig/1",
        "task": "VoltVar-IEEE33-v0",
        # Slow, so that a busy machine keeps to its deadlines.
        "rate_hz": 1,
        "safety": {"reversion_s": 1},
        "devices": [
            {
                "name": "pv",
                "transport": tcp(pv_port),
                "sunspec": {"models": MODELS},
                "identity": {"1.Mn": "gridenv", "1.Md": "pv"},
                "heartbeat": {"read": "715.DERHb", "write": "715.ControllerHb"},
                "remote": {"point": "715.LocRemCtl", "value": 0},
            },
            {"name": "meter", "transport": tcp(meter_port), "map": "meter", "heartbeat": {"read": "beat"}},
        ],
        "observations": {
            "pv.1.p_kw": {"device": "pv", "point": "701.W"},
            "pv.1.q_kvar": {"device": "pv", "point": "701.Var"},
            "load.1.p_kw": {"device": "meter", "point": "p"},
        },
        "actions": {"pv.1.q_share": SETPOINT},
        "emulated": {"response_s": 0.0},
    }


def write(folder: Path, values: dict) -> RigFile:
    """The rig file, written and read."""
    for name, text in (("register_map/meter", METER), ("rig/lab", yaml.safe_dump(values))):
        path = folder / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return load_rig("lab", folder / "rig", OBSERVATION, ACTION)


def devices(file: RigFile) -> dict[str, VirtualDevice]:
    """Virtual devices of the rig file, by name."""
    return {d.name: VirtualDevice(file, d, OBSERVATION, ACTION) for d in file.rig.devices}
