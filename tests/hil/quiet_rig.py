"""The demonstration rig for tests in several processes: on free ports, and in no hurry."""

import shutil
import socket
from pathlib import Path

import yaml

from tests.hil.virtual_lab import CONFIGS

RATE_HZ = 4


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def quiet_rig(folder: Path) -> Path:
    """The rig of the repository on free ports, so slow that a busy machine keeps to its deadlines."""
    shutil.copytree(CONFIGS / "register_map", folder / "register_map")
    shutil.copytree(CONFIGS / "rig", folder / "rig")
    path = folder / "rig" / "voltvar_ieee33.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    control, *ports = free_ports(1 + len(values["devices"]))
    for device, port in zip(values["devices"], ports, strict=True):
        device["transport"] |= {"port": port, "timeout_s": 0.5 / RATE_HZ}
    for sink in values["actions"].values():
        sink["readback_within_s"] = 1.5 / RATE_HZ
    values |= {"rate_hz": RATE_HZ, "policy_period_s": 1.0}
    values["safety"] |= {"stale_after_s": 4.0 / RATE_HZ, "max_missed_cycles": 5}
    values["emulated"] |= {"control_port": control, "speed": 900}
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path
