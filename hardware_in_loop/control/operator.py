"""What an operator asks of a running loop: by signals, by files in the folder of the run, or from a program."""

import signal
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hardware_in_loop.control.states import Trigger

CONTROL_FOLDER = "control"
"""Folder in that of a run; an empty file in it, named after what is asked for, is an order and is taken away."""
_FILES = (Trigger.ESTOP, Trigger.STOP, Trigger.DISARM, Trigger.RESET, Trigger.ARM)
"""In order of urgency."""
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@dataclass(frozen=True, kw_only=True)
class Order:
    """One thing that was asked for."""

    trigger: Trigger
    source: str
    """How it was given."""


class Operator:
    """Collects orders; every cycle of the loop takes them."""

    def __init__(self, folder: Path | None = None, stop_file: Path | None = None) -> None:
        """Look for orders.

        Args:
            folder: folder of the run; orders are files in its folder `control`. None: no files.
            stop_file: a file whose being there stops the rig.
        """
        self._folder = None if folder is None else folder / CONTROL_FOLDER
        self._stop_file = stop_file
        self._orders: deque[Order] = deque()
        self._signals = 0
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)

    def ask(self, trigger: Trigger, source: str) -> None:
        """Add an order; may be called from any thread."""
        self._orders.append(Order(trigger=trigger, source=source))

    def take(self) -> list[Order]:
        """All orders since the last call, most urgent first."""
        orders = []
        # Signal handlers and other threads may add meanwhile, which a deque takes without a lock.
        while self._orders:
            orders.append(self._orders.popleft())
        if self._folder is not None:
            for trigger in _FILES:
                file = self._folder / trigger.value
                if file.exists():
                    # A file that cannot be taken away is obeyed again, which is on the safe side for stops.
                    with suppress(OSError):
                        file.unlink()
                    orders.append(Order(trigger=trigger, source=f"file {CONTROL_FOLDER}/{trigger}"))
        return sorted(orders, key=lambda order: _FILES.index(order.trigger))

    def is_stop_file_there(self) -> bool:
        """Whether the operator's stop file is there."""
        return self._stop_file is not None and self._stop_file.exists()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Inside of a `with` signals are orders: the first stops, another one stops at once."""
        numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
        before = {number: signal.getsignal(number) for number in numbers}

        def take_signal(number: int, _frame: object) -> None:
            self._signals += 1
            order = Trigger.STOP if self._signals == 1 else Trigger.ESTOP
            self._orders.append(Order(trigger=order, source=signal.Signals(number).name))
            if order is Trigger.ESTOP:
                self._orders.append(Order(trigger=Trigger.STOP, source=signal.Signals(number).name))

        for number in numbers:
            signal.signal(number, take_signal)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
