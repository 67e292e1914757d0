"""A rig as a `gymnasium.Env`: actions go through the supervisor, observations come from the devices."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from gridenv.core.errors import ActionError, ConfigError, RunError
from gridenv.core.units import SECONDS_PER_HOUR
from gridenv.policy.codec import Codec
from gridenv.policy.runtime import load_policy
from hardware_in_loop.background import Background, HeldAction, Running
from hardware_in_loop.control.checklist import arming_problem, check_path
from hardware_in_loop.control.gap import Gap, gaps, write_gaps
from hardware_in_loop.control.journal import View
from hardware_in_loop.control.operator import Operator
from hardware_in_loop.control.outcome import Mode, Outcome
from hardware_in_loop.control.pilot import Pilot
from hardware_in_loop.control.recorder import Recorder
from hardware_in_loop.control.runtime import ControlLoop
from hardware_in_loop.control.session import Session, open_session, run_header
from hardware_in_loop.control.states import State, Trigger

Info = dict[str, Any]
V_BAND_PU = (0.95, 1.05)
"""Band of the cost `v_band`, as in the tasks; see docs/environments.md."""
_CHECKS = Path("runs/hil/checks")
_RUNS = Path("runs/hil")
_MOST_PERIODS = 5.0
"""A step that takes more of its periods than this has failed."""


class RigEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A rig behind the channels of a bundle. Use `gymnasium.make("gridenv/<task id>", backend="modbus", ...)`.

    A step lasts one policy period of the rig file in real time. Money is not measured, so the reward is the cost
    `v_band` with a minus sign: measured voltages outside 0.95 to 1.05 pu, summed over buses and the hours of a step.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  (Gymnasium's own form)

    def __init__(
        self,
        task_id: str,
        *,
        rig: str | Path,
        bundle: str | Path,
        rigs: str | Path = "configs/rig",
        mode: str = "shadow",
        checks: str | Path = _CHECKS,
        folder: str | Path | None = None,
        steps_per_episode: int = 96,
    ) -> None:
        """Connect to a rig and begin a run.

        Args:
            task_id: task that the bundle must be of.
            rig: name of a rig file in `rigs`, or a path.
            bundle: folder of a bundle; its channels are those of the environment, and `mode="active"` needs a check of
                the rig with it.
            rigs: folder of rig files.
            mode: `shadow` writes nothing; `active` controls the devices.
            checks: folder of checks.
            folder: of the record; new.
            steps_per_episode: steps until `truncated`.

        Raises:
            ConfigError, BundleError, RigError, RunError: as `gridenv hil run`.
        """
        if mode not in list(Mode):
            raise ConfigError(f"{task_id}: mode is '{mode}'; allowed: {', '.join(Mode)}")
        manifest = load_policy(bundle).manifest
        if manifest.task != task_id:
            raise ConfigError(f"{task_id}: bundle '{bundle}' is of task '{manifest.task}'; name a bundle of {task_id}")
        self._mode, self._steps_per_episode, self._steps = Mode(mode), steps_per_episode, 0
        self._held = HeldAction(len(manifest.action))
        self._safe_action = self._held.action
        self._voltages = [i for i, c in enumerate(manifest.observation) if c.unit == "pu"]
        self.manifest = manifest
        encoded = Codec.of(manifest.observation)
        self.observation_space = Box(encoded.encoded_low, encoded.encoded_high, dtype=np.float32)
        self.action_space = Box(-1.0, 1.0, (len(manifest.action),), np.float32)
        self._step_s = self._period_s = math.nan
        self.folder: Path | None = None
        self.outcome: Outcome | None = None
        """How the run ended, once the environment is closed."""

        async def work(background: Background) -> Outcome:
            async with open_session(Path(bundle), str(rig), Path(rigs)) as session:
                return await self._work(background, session, Path(checks), None if folder is None else Path(folder))

        self._background = Background(work)
        try:
            self._background.wait_for((State.SHADOW, State.ARMED, State.ACTIVE))
        except BaseException:
            self._background.stop()
            raise

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, Info]:
        """Wait for control; a rig goes on from where it is.

        Raises:
            ConfigError: for options, which a rig has none of.
            RunError: if control is not given, with the reasons in the events of the run.
        """
        super().reset(seed=seed)
        if options:
            raise ConfigError(
                f"rig: reset has the options {', '.join(options)}; allowed: none, a rig cannot be set back"
            )
        self._held.action = self._safe_action
        if self._mode is Mode.ACTIVE:
            self._background.wait_for((State.ACTIVE,), Trigger.ARM)
        else:
            self._background.wait_for((State.SHADOW,))
        self._steps = 0
        return self._observation(), self._info()

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, Info]:
        """Ask for an action and wait for one policy period.

        Args:
            action: normalised [n_action]; the supervisor sees to limits, ramps and voltages.

        Raises:
            ActionError: for an action of another shape, or with NaN or infinity.
        """
        values = np.asarray(action, np.float32)
        if values.shape != self.action_space.shape or not np.isfinite(values).all():
            raise ActionError(f"rig: action is {values.tolist()}; allowed: {self.action_space.shape[0]} finite numbers")  # type: ignore[index]
        self._held.action = np.clip(values, -1.0, 1.0)
        cycles = max(1, round(self._step_s / self._period_s))
        self._background.wait_cycles(cycles, _MOST_PERIODS * self._step_s + 1.0)
        self._steps += 1
        info = self._info()
        has_lost_control = self._mode is Mode.ACTIVE and info["state"] not in (State.ACTIVE, State.HOLD)
        is_over = self._steps >= self._steps_per_episode
        return self._observation(), -float(info["cost"][0]), False, has_lost_control or is_over, info

    def close(self) -> None:
        """End the run: safe set-points, if it has controlled."""
        self.outcome = self._background.stop() or self.outcome

    @property
    def values(self) -> np.ndarray:
        """Newest measurements [n_observation] in channel units."""
        return self._background.view.record.values.copy()

    async def _work(self, background: Background, session: Session, checks: Path, folder: Path | None) -> Outcome:
        problem = arming_problem(
            check_path(checks, session.file.name, session.hashes), session.file.name, session.hashes
        )
        if self._mode is Mode.ACTIVE and problem:
            raise RunError(f"mode active: {problem}")
        now = datetime.now(UTC)
        self.folder = folder or _RUNS / session.file.name / f"{now:%Y%m%dT%H%M%S%fZ}-gym-{self._mode}"
        safe = session.settings.limits.safe.astype(np.float32)
        self._safe_action = self._held.action = Codec.of(self.manifest.action).encode(safe)
        timing = session.settings.timing
        self._step_s, self._period_s = timing.policy_period_s, timing.period_s
        # The action may change at any time, so it is looked at in every cycle.
        settings = replace(session.settings, timing=replace(timing, policy_period_s=timing.period_s))
        recorder = Recorder(self.folder, session.layout, run_header(session, self._mode, now))
        operator = Operator(self.folder, session.stop_file)
        watchers: list[Callable[[View], None]] = []
        pilot = Pilot(self._held, self.manifest.observation, self.manifest.action)
        loop = ControlLoop(
            session.link,
            pilot,
            settings,
            recorder,
            mode=self._mode,
            operator=operator,
            arming_problem=problem,
            watchers=watchers,
        )
        background.begin(Running(loop=loop, operator=operator, watchers=watchers))
        try:
            return await loop.run()
        finally:
            recorder.close()

    def _observation(self) -> np.ndarray:
        return np.nan_to_num(self._background.view.record.observation)

    def _info(self) -> Info:
        record = self._background.view.record
        v_pu = record.values[self._voltages]
        outside = np.maximum(np.maximum(v_pu - V_BAND_PU[1], V_BAND_PU[0] - v_pu), 0.0)
        hours = self.manifest.step_s / SECONDS_PER_HOUR
        return {
            "cost": np.array([np.nansum(outside) * hours], np.float32),
            "cost_names": ("v_band",),
            "state": record.state,
            "findings": record.findings,
            "interventions": record.interventions,
            "action_requested": record.requested,
            "action_limited": record.limited,
            "action_applied": record.in_force,
        }


class ShadowEnv(gymnasium.Wrapper[np.ndarray, np.ndarray, np.ndarray, np.ndarray]):
    """A simulated environment with a rig beside it that gets the same actions; observations and rewards are simulated.

    `info["gap"]` is what the rig measures less what is simulated, by channel and in its unit. The record of the rig
    gets the gaps of all steps when the environment is closed, and its report shows them.
    """

    def __init__(self, simulated: gymnasium.Env[np.ndarray, np.ndarray], rig: RigEnv) -> None:
        """Put a rig beside a simulation.

        Args:
            simulated: environment of the same task; begin it at the time of the rig, by `reset(options=...)`.
            rig: in mode `shadow` it only measures; in mode `active` it does what the simulated devices do.
        """
        super().__init__(simulated)
        self.rig = rig
        self._codec = Codec.of(rig.manifest.observation)
        self._measured: list[np.ndarray] = []
        self._simulated: list[np.ndarray] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, Info]:
        """Begin a simulated episode; the rig goes on."""
        self.rig.reset(seed=seed)
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, {**info, "rig": self.rig._info()}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, Info]:
        """One step of both."""
        _, _, _, is_over, rig_info = self.rig.step(action)
        observation, reward, terminated, truncated, info = self.env.step(action)
        measured = self.rig.values
        simulated = np.asarray(self._codec.decode(np.asarray(observation, np.float32)), float)
        self._measured.append(measured)
        self._simulated.append(simulated)
        names = self.rig.manifest.observation.names
        gap = dict(zip(names, (measured - simulated).tolist(), strict=True))
        return observation, float(reward), terminated, truncated or is_over, {**info, "rig": rig_info, "gap": gap}

    def gaps(self) -> Sequence[Gap]:
        """Gaps of all steps so far."""
        if not self._measured:
            return []
        channels = [(c.name, c.unit) for c in self.rig.manifest.observation]
        return gaps(np.array(self._measured), np.array(self._simulated), channels)

    def close(self) -> None:
        """End both, and put the gaps beside the record."""
        self.rig.close()
        found = self.gaps()
        if found and self.rig.folder is not None:
            write_gaps(self.rig.folder, found, {"simulated": "the task's own environment, step by step"})
        super().close()
