"""A task and a network of a user; tasks that tests register are forgotten afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandapower as pp
from gymnasium.envs.registration import registry

from gridenv.tasks.registry import NAMESPACE, TASKS

ID = "Street-Own-v0"
FILE = f"""
import gridenv
from gridenv.tasks.units.inverters import InverterConfig
from gridenv.tasks.volt_var import VoltVarConfig

@gridenv.register_task("{ID}")
class Street(VoltVarConfig):
    network: str = "street.json"
    steps_per_episode: int = 2
    source_v_pu: float | None = 1.0
    inverters: tuple[InverterConfig, ...] = (InverterConfig(bus="1", p_dc_kw=10.0, profile="PV1"),)
"""


def street(load_mw: float = 0.02) -> pp.pandapowerNet:
    net = pp.create_empty_network(name="a street")
    source, end = pp.create_bus(net, 0.4), pp.create_bus(net, 0.4)
    pp.create_ext_grid(net, source)
    pp.create_line(net, source, end, 0.2, "NAYY 4x150 SE")
    pp.create_load(net, end, load_mw, 0.005)
    return net


def write_own_task() -> None:
    """`tasks.py`, which registers `ID`, and its network `street.json`, in the working directory."""
    pp.to_json(street(), "street.json")
    Path("tasks.py").write_text(FILE)


@contextmanager
def forgotten() -> Iterator[None]:
    """Tasks registered inside of a `with` are not there after it."""
    before = dict(TASKS)
    try:
        yield
    finally:
        for task in set(TASKS) - set(before):
            registry.pop(NAMESPACE + task, None)
        TASKS.clear()
        TASKS.update(before)
