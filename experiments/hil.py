"""What the commands for rigs do: run, check, replay."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from experiments import console
from gridenv.core.config import display_path
from gridenv.core.errors import RunError
from gridenv.policy.runtime import load_policy
from hardware_in_loop.control.checklist import Checklist, arming_problem, check_path, write_checklist
from hardware_in_loop.control.clock import MonotonicClock
from hardware_in_loop.control.commissioning import Commissioning
from hardware_in_loop.control.live import LiveView
from hardware_in_loop.control.log import read_log
from hardware_in_loop.control.operator import Operator
from hardware_in_loop.control.outcome import Mode, Outcome
from hardware_in_loop.control.pilot import Pilot
from hardware_in_loop.control.recorder import Recorder
from hardware_in_loop.control.replay import Replay, replay
from hardware_in_loop.control.runtime import ControlLoop
from hardware_in_loop.control.session import bundle_hash, open_session, run_header


def run(
    bundle: Path, rig: str, rigs: Path, mode: Mode, seconds: float | None, folder: Path | None, checks: Path
) -> tuple[Path, Outcome]:
    """Run a policy on a rig until the time is over or an operator stops.

    Returns:
        Folder of the run, and how it ended.

    Raises:
        RunError: for mode active without a check that allows it, before anything is written.
    """
    return asyncio.run(_run(bundle, rig, rigs, mode, seconds, folder, checks))


async def _run(
    bundle: Path, rig: str, rigs: Path, mode: Mode, seconds: float | None, folder: Path | None, checks: Path
) -> tuple[Path, Outcome]:
    async with open_session(bundle, rig, rigs) as session:
        path = check_path(checks, session.file.name, session.hashes)
        problem = arming_problem(path, session.file.name, session.hashes)
        if mode is Mode.ACTIVE and problem:
            raise RunError(f"mode active: {problem}")
        now = datetime.now(UTC)
        folder = folder or Path("runs/hil") / session.file.name / f"{now:%Y%m%dT%H%M%SZ}-{mode}"
        recorder = Recorder(folder, session.layout, run_header(session, mode, now))
        operator = Operator(folder, session.stop_file)
        console.say(f"run: {display_path(folder)}; an empty file `estop`, `stop`, `disarm` or `arm` in its `control`")
        view = LiveView(session.settings, console.STATUS)
        loop = ControlLoop(
            session.link,
            session.pilot,
            session.settings,
            recorder,
            mode=mode,
            operator=operator,
            arming_problem=problem,
            watchers=[view.show],
        )
        try:
            with operator.signals(), view:
                outcome = await loop.run(seconds)
        finally:
            recorder.close()
            if recorder.problem or recorder.lost_rows:
                console.say(
                    f"warning: run '{display_path(folder)}': not all is recorded ({recorder.problem or 'disk full'}; "
                    f"{recorder.lost_rows} cycles given up)"
                )
        return folder, outcome


def check(
    bundle: Path, rig: str, rigs: Path, checks: Path, with_writes: bool, signed_by: str
) -> tuple[Path, Checklist]:
    """Check a rig with a bundle and write what was found.

    Returns:
        The file that `run` asks for, and its contents.
    """
    return asyncio.run(_check(bundle, rig, rigs, checks, with_writes, signed_by))


async def _check(
    bundle: Path, rig: str, rigs: Path, checks: Path, with_writes: bool, signed_by: str
) -> tuple[Path, Checklist]:
    async with open_session(bundle, rig, rigs) as session:
        commissioning = Commissioning(
            session.link,
            session.pilot,
            session.settings,
            session.write_tests,
            MonotonicClock(),
            Operator(stop_file=session.stop_file).is_stop_file_there,
        )
        with _cancelled_by_signals():
            items = await commissioning.check(with_writes)
        checklist = Checklist(
            rig=session.file.name,
            bundle=display_path(bundle),
            hashes=session.hashes,
            utc=datetime.now(UTC).isoformat(timespec="seconds"),
            signed_by=signed_by,
            items=items,
            times_ms=commissioning.times_ms,
        )
    path = check_path(checks, checklist.rig, checklist.hashes)
    write_checklist(path, checklist)
    return path, checklist


@contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """Inside of a `with` SIGTERM and SIGHUP end the running task as Ctrl-C does, so that it leaves devices safe."""
    loop, task, seen = asyncio.get_running_loop(), asyncio.current_task(), []
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

    def end(number: int) -> None:
        seen.append(signal.Signals(number).name)
        if task is not None:
            task.cancel()

    for number in numbers:
        with suppress(NotImplementedError):  # an event loop that has no signals
            loop.add_signal_handler(number, end, number)
    try:
        yield
    except asyncio.CancelledError:
        if not seen:
            raise
        raise RunError(f"check: ended by {seen[0]}; set-points written so far were made safe") from None
    finally:
        for number in numbers:
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)


def replay_run(folder: Path, bundle: Path | None) -> Replay:
    """Ask the policy of a run again.

    Args:
        folder: of the run.
        bundle: None = the one that the run names, if it is still the same.

    Raises:
        RunError: if that one is not there, or is another one by now.
    """
    log = read_log(folder)
    path = bundle or Path(str(log.header["bundle"]))
    if bundle is None and (not path.is_dir() or bundle_hash(path) != log.header["hashes"]["bundle"]):
        raise RunError(f"run '{folder}': its bundle '{path}' is not there or another one by now; name it by --bundle")
    return replay(log, Pilot.of(load_policy(path)))
