"""What a device holds: words at addresses, of which some belong to points."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from hardware_in_loop.errors import EncodingError
from hardware_in_loop.modbus.protocol import Code, Refusal
from hardware_in_loop.registers.points import Point, Table

OnWrite = Callable[[Mapping[str, float]], None]
"""(values written, by point) -> nothing; raises `Refusal` to refuse them."""


class PointStore:
    """Registers and bits of a device. Points are written whole, and within their limits, or not at all."""

    def __init__(
        self,
        points: Iterable[Point],
        *,
        words: Mapping[int, int] | None = None,
        readable_holes: bool = False,
        identity: Mapping[int, str] | None = None,
    ) -> None:
        """A store whose points hold nothing yet.

        Args:
            points: what can be read, and written where their access allows it.
            words: further holding registers, such as texts, that can be read.
            readable_holes: addresses that nothing is at read as 0.
            identity: objects of the device identification.
        """
        self._points = {p.name: p for p in points}
        self._identity = dict(identity or {})
        self._holes = readable_holes
        self._words: dict[Table, dict[int, int]] = {table: {} for table in Table}
        self._words[Table.HOLDING].update(words or {})
        self._owner: dict[tuple[Table, int], Point] = {}
        for point in self._points.values():
            for address in range(point.address, point.end):
                self._words[point.table].setdefault(address, 0)
                self._owner[point.table, address] = point
        self._held: set[str] = set()
        self.on_write: OnWrite = lambda values: None
        """Called with what was written before it is in force."""

    @property
    def identity(self) -> Mapping[int, str]:
        """Objects of the device identification."""
        return self._identity

    @property
    def points(self) -> Mapping[str, Point]:
        """Points by name."""
        return self._points

    def words(self, name: str) -> tuple[int, ...]:
        """Registers of a point as they are."""
        point = self._points[name]
        return tuple(self._words[point.table][a] for a in range(point.address, point.end))

    def value(self, name: str) -> float:
        """Engineering value of a point."""
        return self._points[name].decode(self.words(name))

    def set(self, name: str, value: float) -> None:
        """Let a point hold a value, rounded to its count; the device may do what a controller may not.

        Raises:
            EncodingError: if the point cannot carry it.
        """
        self._set_own(self._points[name], self._points[name].encode_unchecked(value))

    def show(self, name: str, value: float) -> None:
        """Let a point show a measurement, rounded to its count: the end of its range for one beyond it.

        Raises:
            EncodingError: for NaN, if the point cannot say that there is no value.
        """
        self._set_own(self._points[name], self._points[name].nearest(value))

    def set_words(self, name: str, words: Sequence[int]) -> None:
        """Let a point hold these registers, whatever they mean; one that is held keeps its own."""
        if name in self._held:
            return
        point = self._points[name]
        for i, word in enumerate(words):
            self._words[point.table][point.address + i] = word

    def _set_own(self, point: Point, words: tuple[int, ...]) -> None:
        """As `set_words`; a bit leaves the others of its registers alone."""
        self.set_words(point.name, words if point.bit is None else point.with_bit(self.words(point.name), words))

    def hold(self, name: str, words: Sequence[int] | None = None) -> None:
        """Keep a point as it is, or at these registers, whatever is set or written, until it is released."""
        if words is not None:
            self.set_words(name, words)
        self._held.add(name)

    def release(self, name: str) -> None:
        """Let a point be set and written again."""
        self._held.discard(name)

    def read(self, table: Table, address: int, count: int) -> Sequence[int]:
        """Registers or bits."""
        words = self._words[table]
        addresses = range(address, address + count)
        if any(p is not None and p.access == "w" for p in (self._owner.get((table, a)) for a in addresses)):
            raise Refusal(Code.ILLEGAL_ADDRESS)
        if self._holes and words:
            return [words.get(a, 0) for a in addresses]
        try:
            return [words[a] for a in addresses]
        except KeyError:
            raise Refusal(Code.ILLEGAL_ADDRESS) from None

    def write(self, table: Table, address: int, values: Sequence[int]) -> None:
        """Take values for whole points within their limits; for those that are held they are acknowledged and lost."""
        given = dict(enumerate(values, start=address))
        touched: dict[str, Point] = {}
        for a in given:
            point = self._owner.get((table, a))
            if point is None or point.access == "r":
                raise Refusal(Code.ILLEGAL_ADDRESS)
            touched[point.name] = point
        decoded = {name: self._decoded(point, given) for name, point in touched.items()}
        self.on_write({name: value for name, value in decoded.items() if name not in self._held})
        for point in touched.values():
            self.set_words(point.name, [given[a] for a in range(point.address, point.end)])

    @staticmethod
    def _decoded(point: Point, given: Mapping[int, int]) -> float:
        if any(a not in given for a in range(point.address, point.end)):
            raise Refusal(Code.ILLEGAL_ADDRESS)  # half of a number
        try:
            value = point.decode([given[a] for a in range(point.address, point.end)])
            point.encode(value)
        except EncodingError:
            raise Refusal(Code.ILLEGAL_VALUE) from None
        return value
