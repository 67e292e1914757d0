"""Maps of the points of one kind of device, and what is wrong with them."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gridenv.core.errors import did_you_mean, raise_collected
from hardware_in_loop.errors import RegisterMapError
from hardware_in_loop.registers.codec import REGISTER_MAX, ByteOrder
from hardware_in_loop.registers.points import MAX_READ_REGISTERS, Point, Table
from hardware_in_loop.registers.units import DIRECTED, quantity


class RegisterMap(BaseModel):
    """The points of one kind of device."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(min_length=1)
    description: str = ""
    byte_order: ByteOrder = ByteOrder.ABCD
    """Of points that state none."""
    readable_holes: bool = False
    """The device answers reads across addresses that the map does not name; then fewer requests do."""
    max_registers: int = Field(default=MAX_READ_REGISTERS, ge=4, le=MAX_READ_REGISTERS)
    """Registers that the device answers in one request; a few allow less than the specification."""
    points: tuple[Point, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _give_order(cls, values: object) -> object:
        if isinstance(values, dict) and isinstance(values.get("points"), list | tuple) and "byte_order" in values:
            order = values["byte_order"]
            points = [{"byte_order": order, **p} if isinstance(p, dict) else p for p in values["points"]]
            return {**values, "points": points}
        return values

    @property
    def problems(self) -> list[str]:
        """What is wrong with the points, one line each."""
        own = [problem for point in self.points for problem in _point_problems(point)]
        return [f"register map '{self.name}': {problem}" for problem in own + _layout_problems(self.points)]

    def checked(self) -> "RegisterMap":
        """The map itself.

        Raises:
            RegisterMapError: with all that is wrong with it.
        """
        raise_collected(self.problems, RegisterMapError)
        return self

    def point(self, name: str) -> Point:
        """A point by its name.

        Raises:
            RegisterMapError: if there is none.
        """
        for point in self.points:
            if point.name == name:
                return point
        known = [p.name for p in self.points]
        raise RegisterMapError(f"register map '{self.name}': unknown point '{name}'{did_you_mean(name, known)}")


def _layout_problems(points: Sequence[Point]) -> list[str]:
    """What is wrong with points beside each other: repeated names, addresses and overlaps."""
    names = [p.name for p in points]
    problems = [
        f"point '{n}' appears {names.count(n)} times; names must be unique"
        for n in sorted(set(names))
        if names.count(n) > 1
    ]
    for table in Table:
        before: Point | None = None
        for point in sorted((p for p in points if p.table == table), key=lambda p: (p.address, p.end)):
            if before is not None:
                problems += _collision(before, point)
            if before is None or point.end > before.end:
                before = point
    return problems


def _collision(a: Point, b: Point) -> list[str]:
    if b.address >= a.end:
        return []
    if b.address > a.address:
        place = f"point '{b.name}' at {b.table} address {b.address}"
        return [f"{place} overlaps '{a.name}', which takes {a.address}..{a.end - 1}; move one of them"]
    if a.type.is_bits and b.type.is_bits and a.bit != b.bit and not a.table.is_bits:
        return []
    return [f"points '{a.name}' and '{b.name}' have the same {a.table} address {a.address}; give each its own"]


def _point_problems(p: Point) -> list[str]:
    problems = []
    name = f"point '{p.name}'"
    if p.end > REGISTER_MAX + 1:
        problems.append(f"{name} at address {p.address} takes {p.registers} registers; allowed: up to {REGISTER_MAX}")
    is_number = not (p.table.is_bits or p.type.is_bits)
    if is_number and p.scale is None and not p.type.is_float:
        problems.append(f"{name} has no scale; give the engineering value of one count (1 if counts are the value)")
    if p.scale == 0.0:
        problems.append(f"{name} has scale 0; allowed: any other number")
    if p.bit is not None and (p.table.is_bits or not p.type.is_bits or p.bit >= 16 * p.type.registers):
        problems.append(f"{name} has bit {p.bit} of a {p.type} in the {p.table} table; allowed: a bit of a bitfield")
    if quantity(p.unit) in DIRECTED and p.sign is None:
        problems.append(f"{name} in {p.unit} has no sign; state `grid` (positive into the grid) or `load`")
    if p.access != "r" and not p.table.is_writable:
        problems.append(f"{name} has access {p.access}; the {p.table} table can only be read")
    if p.access != "r" and p.bit is not None:
        problems.append(
            f"{name} is one bit of a register with access {p.access}; allowed: r, as a write changes all bits"
        )
    if is_number and p.access != "r" and (p.min is None or p.max is None):
        problems.append(f"{name} can be written and has no min and max; give both")
    if p.min is not None and p.max is not None and not p.min <= p.max:
        problems.append(f"{name}: min {p.min:g} is above max {p.max:g}")
    return problems
