"""Runs of the control loop on the plant in memory."""

import asyncio

from hardware_in_loop.control.log import read_log
from hardware_in_loop.control.operator import Operator
from hardware_in_loop.control.outcome import Mode
from hardware_in_loop.control.pilot import Pilot
from hardware_in_loop.control.recorder import Recorder
from hardware_in_loop.control.runtime import ControlLoop
from hardware_in_loop.control.segments import Layout
from tests.hil.plant import ACTIONS, UNITS, Droop, Plant, SimulatedClock, channels, settings


def header(rules, mode):
    """What the program writes into `run.json`."""
    return {
        "rig": "bench",
        "bundle": "bundle",
        "task": "VoltVar-IEEE33-v0",
        "utc": "2026-06-01T00:00:00+00:00",
        "mode": mode,
        "hashes": {"rig": "r" * 64, "points": "p" * 64, "bundle": "b" * 64},
        "period_s": rules.timing.period_s,
        "policy_period_s": rules.timing.policy_period_s,
        "units": {"bus.1.v_pu": "pu", "bus.2.v_pu": "pu", "bus.3.v_pu": "pu"},
        "setpoints": {rule.channel: vars(rule) for rule in rules.setpoints},
        "voltages": [] if rules.voltages is None else list(rules.voltages.channels),
    }


class Bench:
    """A plant, a policy and a loop; `at` schedules what happens in which cycle."""

    def __init__(self, folder, mode=Mode.ACTIVE, rules=None, plant=None, **options):
        self.clock = SimulatedClock()
        self.plant = plant or Plant(self.clock, base_pu=(1.0, 0.98, 0.97))
        self.plant.clock = self.clock
        self.policy = Droop()
        self.folder, self.rules = folder / "run", rules or settings()
        observation, action = channels()
        layout = Layout(observations=observation.names, setpoints=ACTIONS, devices=("meter", *UNITS))
        self.recorder = Recorder(self.folder, layout, header(self.rules, mode))
        self.operator = Operator(self.folder)
        self.todo, self.views = {}, []
        self.loop = ControlLoop(
            self.plant,
            Pilot(self.policy, observation, action),
            self.rules,
            self.recorder,
            mode=mode,
            operator=self.operator,
            clock=self.clock,
            watchers=[self._watch],
            **options,
        )

    def at(self, cycle, do):
        """Do something after a cycle."""
        self.todo.setdefault(cycle, []).append(do)
        return self

    def _watch(self, view):
        self.views.append(view)
        for do in self.todo.get(view.record.cycle, []):
            do()

    def run(self, seconds=6.0):
        """Run and read the record back."""
        try:
            self.outcome = asyncio.run(self.loop.run(seconds))
        finally:
            self.recorder.close()
        return read_log(self.folder)
