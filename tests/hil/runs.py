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
        self.recorder = Recorder(self.folder, layout, {"rig": "bench", "mode": mode})
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
