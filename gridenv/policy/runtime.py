"""Running a bundle with onnxruntime, as a rig does: physical values in, physical values out; no JAX."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from gridenv.core.channels import ChannelSet
from gridenv.core.errors import BundleError, MissingExtraError, ObservationError, did_you_mean, raise_collected
from gridenv.policy.bundle import GOLDEN_FILE, POLICY_FILE, Bundle, read_bundle
from gridenv.policy.codec import Codec

INPUT, OUTPUT = "observation", "action"
"""Names of the network's input and output."""
GOLDEN_TOLERANCE = 1e-5
"""Largest difference of a normalised action from the recorded one: float32 sums in another order."""
_SHOWN = 3
"""Channels that a message names before it only counts."""

Floats = NDArray[np.float32]


def load_policy(folder: Path | str) -> "Policy":
    """The policy of a bundle, after all checks.

    Raises:
        BundleError: if the bundle is incomplete, was changed, has another format, or does not act as recorded.
        MissingExtraError: if onnxruntime is not installed.
    """
    return Policy(read_bundle(Path(folder)))


class Policy:
    """A policy ready to act. Making one replays the recorded pairs of the bundle."""

    def __init__(self, bundle: Bundle) -> None:
        """Start the network and compare it with the recorded pairs.

        Raises:
            BundleError: if the network cannot be run, has other inputs or outputs than the manifest, or does not act as
                recorded.
            MissingExtraError: if onnxruntime is not installed.
        """
        self.bundle = bundle
        self.manifest = bundle.manifest
        self._observation = Codec.of(self.manifest.observation)
        self._action = Codec.of(self.manifest.action)
        self._session = _session(bundle)
        self._check_replay()

    @overload
    def act(self, observation: Mapping[str, Any]) -> dict[str, Any]: ...
    @overload
    def act(self, observation: Any) -> Any: ...
    def act(self, observation: Any) -> dict[str, Any] | Floats:
        """Physical commands for physical measurements; measurements beyond a channel's range saturate at it.

        Args:
            observation: value of every observation channel by name (numbers, or arrays of one shape), or a vector
                [*batch, n_observation] in the order of the manifest; in the channels' units.

        Returns:
            Commands in the same form: by name, or [*batch, n_action]; in the channels' units.

        Raises:
            ObservationError: if a channel is missing or unknown, a shape is wrong or a value is not finite.
        """
        by_name = isinstance(observation, Mapping)
        physical = self._in_order(observation) if isinstance(observation, Mapping) else _numbers(observation)
        self._check(physical)
        action: Floats = self._action.decode(self.act_normalised(self._observation.encode(physical)))
        if not by_name:
            return action
        values = np.moveaxis(action, -1, 0)
        return {n: float(v) if v.ndim == 0 else v for n, v in zip(self.manifest.action.names, values, strict=True)}

    def act_normalised(self, observation: Any) -> Floats:
        """Normalised actions [*batch, n_action] for normalised observations [*batch, n_observation].

        Raises:
            ObservationError: if the shape is wrong or a value is not finite.
        """
        vectors = _numbers(observation)
        self._check(vectors)
        return self._run(vectors.reshape(-1, vectors.shape[-1])).reshape(*vectors.shape[:-1], len(self.manifest.action))

    def _run(self, rows: Floats) -> Floats:
        action: Floats = self._session.run([OUTPUT], {INPUT: rows})[0]
        return action

    def _in_order(self, observation: Mapping[str, Any]) -> Floats:
        names = self.manifest.observation.names
        missing = [n for n in names if n not in observation]
        problems = [f"observation lacks {_some(missing)}; give a value for every channel"] if missing else []
        problems += [
            f"unknown channel '{n}'{did_you_mean(str(n), names)}"
            for n in sorted(set(observation) - set(names), key=str)
        ]
        raise_collected(problems, ObservationError)
        try:
            return np.moveaxis(np.asarray([observation[n] for n in names], np.float32), 0, -1)
        except (TypeError, ValueError) as error:
            shapes = {n: _numbers(observation[n], f"observation '{n}'").shape for n in names}
            odd = next(n for n in names if shapes[n] != shapes[names[0]])
            raise ObservationError(
                f"observation: '{odd}' has shape {shapes[odd]}, '{names[0]}' has {shapes[names[0]]}; allowed: numbers, "
                "or arrays of one shape"
            ) from error

    def _check(self, vectors: Floats) -> None:
        channels: ChannelSet = self.manifest.observation
        if vectors.ndim == 0 or vectors.shape[-1] != len(channels):
            raise ObservationError(
                f"observation has shape {vectors.shape}; its last axis must have one number for each of the "
                f"{len(channels)} channels, in the order of the manifest"
            )
        is_bad = ~np.isfinite(vectors).reshape(-1, len(channels))
        if is_bad.any():
            bad = [channels.names[i] for i in np.unique(np.nonzero(is_bad)[1])]
            raise ObservationError(f"observation is not finite in {_some(bad)}; check the measurement")

    def _check_replay(self) -> None:
        golden = self.bundle.golden
        action = self._run(golden.observation)
        if action.shape != golden.action.shape:
            raise BundleError(
                f"bundle '{self.bundle.name}': {POLICY_FILE} gives actions of shape {action.shape[1:]}; the manifest "
                f"has {len(self.manifest.action)} action channels; make the bundle anew with `gridenv export`"
            )
        difference = float(np.max(np.abs(action - golden.action)))
        # Written so that NaN fails as well.
        if not difference <= GOLDEN_TOLERANCE:
            raise BundleError(
                f"bundle '{self.bundle.name}': {POLICY_FILE} differs by up to {difference:.2g} from the actions "
                f"recorded in {GOLDEN_FILE}; allowed: {GOLDEN_TOLERANCE:g}; make the bundle anew with `gridenv export`"
            )


def _session(bundle: Bundle) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            "package 'onnxruntime' is not installed; install it with pip install \"gridenv[hil]\""
        ) from error
    options = onnxruntime.SessionOptions()
    # The networks are small: one thread answers sooner, and always with the same sums.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(bundle.onnx, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base of their own
        raise BundleError(
            f"bundle '{bundle.name}': {POLICY_FILE} cannot be run ({str(error).splitlines()[0]}); make the bundle anew "
            "with `gridenv export`, or update onnxruntime"
        ) from error
    found = [(port.name, port.type, port.shape[1:]) for port in (*session.get_inputs(), *session.get_outputs())]
    sizes = (len(bundle.manifest.observation), len(bundle.manifest.action))
    expected = [(name, "tensor(float)", [size]) for name, size in zip((INPUT, OUTPUT), sizes, strict=True)]
    if found != expected:
        raise BundleError(
            f"bundle '{bundle.name}': {POLICY_FILE} has the inputs and outputs {found}; the manifest needs {expected}; "
            "make the bundle anew with `gridenv export`"
        )
    return session


def _numbers(values: Any, what: str = "observation") -> Floats:
    try:
        return np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise ObservationError(f"{what} cannot be read as numbers ({error}); give numbers or an array") from error


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"'{n}'" for n in names[:_SHOWN]) + more
