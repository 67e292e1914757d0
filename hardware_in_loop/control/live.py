"""A run as it goes on, in the terminal."""

from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hardware_in_loop.control.journal import View
from hardware_in_loop.control.settings import ControlSettings
from hardware_in_loop.control.states import State

_REFRESH_S = 0.25
_STYLES = {
    State.SHADOW: "bold cyan",
    State.ARMED: "bold yellow",
    State.ACTIVE: "bold green",
    State.HOLD: "bold yellow",
    State.FALLBACK: "bold red",
    State.ESTOP: "bold white on red",
}
_KEPT = 6
"""Interventions and problems that are shown."""


class LiveView:
    """Shows the newest cycle four times a second; one line a change of state where there is no terminal."""

    def __init__(self, settings: ControlSettings, console: Console) -> None:
        self._settings, self._console = settings, console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._state: str | None = None
        self._due_s = 0.0
        self._last: list[str] = []
        self._known: set[tuple[str, str]] = set()
        self._counts: dict[str, int] = {}

    def __enter__(self) -> "LiveView":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            with suppress(OSError, SystemExit):
                self._live.stop()

    def show(self, view: View) -> None:
        """Take in a cycle."""
        record = view.record
        self._note(view)
        if self._live is None:
            if record.state != self._state:
                self._console.print(f"{record.t_s:8.1f} s  {record.state}  {record.findings}".rstrip(), markup=False)
        elif record.t_s >= self._due_s or record.state != self._state:
            self._due_s = record.t_s + _REFRESH_S
            self._live.update(self.render(view), refresh=True)
        self._state = record.state

    def render(self, view: View) -> Group:
        """The page."""
        record = view.record
        head = Text.assemble(
            (f" {record.state} ", _STYLES.get(State(record.state), "bold")),
            f"  {record.t_s:.1f} s, cycle {record.cycle}",
            f"   missed exchanges {view.statistics.missed}, deadline misses {view.statistics.deadline_misses}",
        )
        return Group(head, self._setpoints(view), self._devices(view), self._times(view), *self._messages())

    def _setpoints(self, view: View) -> Table:
        table = Table("set-point", "asked", "limited", "written", "in force", "limits", title_justify="left")
        record = view.record
        columns = (record.requested, record.limited, record.written, record.in_force)
        for i, rule in enumerate(self._settings.setpoints):
            cells = [_number(column[i]) for column in columns]
            table.add_row(rule.channel, *cells, f"{rule.low:g}..{rule.high:g}")
        return table

    def _devices(self, view: View) -> Table:
        table = Table("device", "reachable", "heartbeat", "remote", "problem")
        for name, device in view.snapshot.devices.items():
            beat = "-" if device.heartbeat is None else str(device.heartbeat)
            remote = {None: "-", True: "yes", False: "LOCAL"}[device.is_remote]
            table.add_row(name, "yes" if device.is_reachable else "NO", beat, remote, device.problem[:60])
        return table

    def _times(self, view: View) -> Table:
        summary = view.statistics.summary()
        table = Table("time in ms", *summary)
        for key in ("p50", "p99", "max"):
            table.add_row(key, *(f"{1e3 * times.get(key, np.nan):.2f}" for times in summary.values()))
        voltages = self._settings.voltages
        if voltages is not None:
            measured = [view.snapshot.readings[c].value for c in voltages.channels if c in view.snapshot.readings]
            if measured:
                table.caption = f"voltages {min(measured):.4f} to {max(measured):.4f} pu"
        return table

    def _messages(self) -> Sequence[Text]:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self._counts.items()))
        return [Text(f"interventions: {counts or 'none'}"), *(Text(line) for line in self._last)]

    def _note(self, view: View) -> None:
        record = view.record
        for part in filter(None, record.interventions.split("; ")):
            name = part.partition(":")[0]
            self._counts[name] = self._counts.get(name, 0) + 1
        if record.state != self._state:
            self._last.append(f"{record.t_s:8.1f} s  {self._state or '-'} -> {record.state}")
        new = [f for f in view.findings if (f.trigger, f.subject) not in self._known]
        self._known = {(f.trigger, f.subject) for f in view.findings}
        self._last += [f"{record.t_s:8.1f} s  {f.trigger} {f.subject}: {f.text}" for f in new]
        self._last = self._last[-_KEPT:]


def _number(value: float) -> str:
    return f"{value:.4g}" if np.isfinite(value) else "-"
