"""The points that a device of a rig file has, before anything was read from it."""

from collections.abc import Mapping, Sequence

from gridenv.core.errors import did_you_mean
from hardware_in_loop.errors import RegisterMapError, RigFileError
from hardware_in_loop.registers import sunspec, sunspec_models
from hardware_in_loop.registers.maps import RegisterMap
from hardware_in_loop.registers.points import Point
from hardware_in_loop.rig.files import RigFile
from hardware_in_loop.rig.schema import Device


class Catalogue:
    """Points by device and name."""

    def __init__(self, points: Mapping[str, Mapping[str, Point]], is_declared: Mapping[str, bool]) -> None:
        self._points = points
        self._is_declared = is_declared

    @property
    def devices(self) -> Sequence[str]:
        """Names of the devices."""
        return list(self._points)

    def point(self, device: str, name: str) -> Point:
        """A point of a device. Addresses and scales of SunSpec points are not yet known.

        Raises:
            RigFileError: if there is no such device or point.
        """
        if device not in self._points:
            raise RigFileError(f"unknown device '{device}'{did_you_mean(device, self._points)}")
        points = self._points[device]
        generic = sunspec.generic_name(name) if self._is_declared[device] else name
        if generic not in points:
            raise RigFileError(f"device '{device}' has no point '{name}'{_hint(generic, points)}")
        return points[generic]

    def is_known(self, device: str) -> bool:
        """Whether addresses and scales of the device's points are known."""
        return not self._is_declared[device]


def declared_points(file: RigFile) -> tuple[Catalogue, list[str]]:
    """Points of all devices as far as files say, and what is wrong with the devices' statements."""
    points: dict[str, Mapping[str, Point]] = {}
    is_declared: dict[str, bool] = {}
    problems: list[str] = []
    for device in file.rig.devices:
        is_declared[device.name] = device.sunspec is not None
        register_map = file.maps[device.name]
        if (register_map is None) == (device.sunspec is None):
            problems.append(f"device '{device.name}': has {_both(register_map)}; give a `map` or `sunspec`")
        try:
            points[device.name] = _sunspec_points(device) if register_map is None else _by_name(register_map.points)
        except RegisterMapError as error:
            points[device.name] = {}
            problems.append(f"device '{device.name}': {error}")
    return Catalogue(points, is_declared), problems


def _by_name(points: Sequence[Point]) -> dict[str, Point]:
    return {point.name: point for point in points}


def _sunspec_points(device: Device) -> dict[str, Point]:
    """Points that the models may have; texts are there as well, so that they can be expected."""
    if device.sunspec is None:
        return {}
    found: dict[str, Point] = {}
    for model_id in device.sunspec.models:
        if model_id not in sunspec_models.SUPPORTED:
            known = ", ".join(map(str, sunspec_models.SUPPORTED))
            raise RegisterMapError(f"SunSpec model {model_id} is not supported; supported: {known}")
        found |= sunspec.placeholders(model_id)
    return found


def _both(register_map: RegisterMap | None) -> str:
    return "neither a register map nor SunSpec models" if register_map is None else "a register map and SunSpec models"


def _hint(name: str, known: Mapping[str, Point]) -> str:
    hint = did_you_mean(name, known)
    # The list of all points of SunSpec models would fill a page.
    return (
        hint if hint.startswith("; did you mean") or len(known) <= 20 else "; see the device's register map or models"
    )
