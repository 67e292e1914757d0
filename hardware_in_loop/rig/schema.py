"""Schema of rig files: `configs/rig/NAME.yaml`; see docs/hil/register_maps.md."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, NonNegativeFloat, PositiveFloat, PositiveInt, Tag

from hardware_in_loop.registers.points import Sign
from hardware_in_loop.rig.emulated import Emulated
from hardware_in_loop.rig.settings import Port, Settings, UnitId


class Tcp(Settings):
    """Modbus/TCP."""

    type: Literal["tcp"]
    host: str
    port: Port = 502
    unit: UnitId = 1
    timeout_s: PositiveFloat = 0.08
    """For one request; keep it below the period of the loop."""


class Tls(Tcp):
    """Modbus/TCP Security: TLS 1.2 or later with certificates on both sides. Paths are relative to the rig file."""

    type: Literal["tls"]  # type: ignore[assignment]
    port: Port = 802
    ca: Path
    """Certificates of the authorities that devices are trusted by."""
    certificate: Path
    """The controller's own, with its role in the extension 1.3.6.1.4.1.50316.802.1."""
    key: Path
    server_name: str | None = None
    """Name in the device's certificate; None = `host`."""


class Rtu(Settings):
    """Modbus RTU over a serial port."""

    type: Literal["rtu"]
    serial_port: str
    baudrate: PositiveInt = 19200
    parity: Literal["N", "E", "O"] = "E"
    stopbits: Literal[1, 2] = 1
    unit: Annotated[int, Field(ge=1, le=247)] = 1
    timeout_s: PositiveFloat = 0.5


Transport = Annotated[Tcp | Tls | Rtu, Field(discriminator="type")]


class SunSpec(Settings):
    """A device whose registers are found by SunSpec model discovery."""

    base: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Address of the marker `SunS`; None = 40000, 0 and 50000 are tried."""
    models: tuple[PositiveInt, ...] = Field(min_length=1)
    """Models that the device must have; others that it has as well are left alone."""


class Heartbeat(Settings):
    """Counters by which device and controller see that the other one lives."""

    read: str | None = None
    """Point that the device advances."""
    write: str | None = None
    """Point that the controller advances."""
    period_s: PositiveFloat = 1.0
    """Time after which the controller's counter goes on by one. Source: SunSpec model 715, once a second."""
    timeout_s: PositiveFloat = 3.0
    """A device whose counter stands still for as long counts as lost."""


class Remote(Settings):
    """How the device says whether it takes set-points from the network."""

    point: str
    value: float = 0.0
    """Value of the point when it does. Source: SunSpec model 715, LocRemCtl 0 = remote."""


class Device(Settings):
    """One Modbus server."""

    name: str = Field(min_length=1)
    transport: Transport
    map: str | None = None
    """Register map: a name in `configs/register_map`, or a path; or else `sunspec`."""
    sunspec: SunSpec | None = None
    identity: dict[str, str | float] = Field(default_factory=dict)
    """Point -> what it must hold, such as `1.Md: PV-2000`; a device that holds something else is refused."""
    heartbeat: Heartbeat | None = None
    remote: Remote | None = None


class Conversion(Settings):
    """From the point of a device to a channel; unit and sign default to those of the register map."""

    device: str
    point: str
    unit: str | None = None
    """Unit of the point, if it is not that of the register map."""
    sign: Sign | None = None
    """Direction in which the device counts a power, if it is not that of the map; channels count into the grid."""
    factor: float | None = None
    """Channel value of one unit of the point; None = from the two units."""
    offset: float = 0.0
    """Channel value at 0 of the point."""


class RegisterSource(Conversion):
    """A measured channel."""

    absent: float | None = None
    """Channel value where the device says that it has none, such as the charge of a vehicle that is not there; None =
    such a reading is implausible."""
    max_change_per_s: PositiveFloat | None = None
    """A faster change is implausible; in the channel's unit."""
    stale_after_s: PositiveFloat | None = None
    """None = that of `safety`."""
    stuck_after_s: PositiveFloat | None = None
    """A value that is the same to the last bit for this long is implausible; None = it may stand still."""


class ClockSource(Settings):
    """A channel that follows from the time, see `Rig.clock`."""

    clock: Literal["day_sin", "day_cos", "year_sin", "year_cos"]


class ConstantSource(Settings):
    """A channel that does not change."""

    constant: float


class FeedSource(Settings):
    """A channel from a table of a file, at the time of the rig's clock."""

    feed: Path
    """CSV with the columns `time_s` (since the start of the year, rising) and `column`; relative to the rig file."""
    column: str


def _source_kind(value: Any) -> str:
    keys = value if isinstance(value, dict) else getattr(type(value), "model_fields", {})
    return next((key for key in ("clock", "constant", "feed") if key in keys), "register")


Source = Annotated[
    Annotated[RegisterSource, Tag("register")]
    | Annotated[ClockSource, Tag("clock")]
    | Annotated[ConstantSource, Tag("constant")]
    | Annotated[FeedSource, Tag("feed")],
    Discriminator(_source_kind),
]


class Reversion(Settings):
    """A timer in the device: without a new command it falls back by itself. Being there, the controller may die."""

    timer: str
    """Point of the time in whole seconds; written with every command."""
    remaining: str | None = None
    """Point of the time left."""


class Sink(Conversion):
    """Where a commanded channel goes, and within which limits. Values are in the channel's unit and sign."""

    low: float
    high: float
    """Hard limits; nothing beyond them is ever written."""
    ramp_per_s: PositiveFloat
    """Fastest change that may be written."""
    safe_value: float
    """Written when the controller gives up."""
    test_window: tuple[float, float] | None = None
    """Range in which commissioning may write; None = the safe value alone."""
    min_write_interval_s: NonNegativeFloat = 0.0
    """Spares the memory of devices that keep set-points in flash."""
    deadband: NonNegativeFloat = 0.0
    """A smaller change is not written."""
    readback: str | None = None
    """Point that shows the set-point in force; None = the point itself."""
    readback_tolerance: PositiveFloat | None = None
    """None = one and a half counts of the point, half the range at most; positions need 0.5."""
    readback_within_s: NonNegativeFloat = 0.5
    """Time that the device may take to show a new set-point."""
    together: dict[str, float] = Field(default_factory=dict)
    """Points of the same device that are written along, such as modes and enabling: point -> value in its unit."""
    apply: str | None = None
    """Point that makes the rest take effect; comes last if not all fits into one request."""
    reversion: Reversion | None = None
    response_s: NonNegativeFloat = 0.0
    """Time constant with which the device follows, for the prediction of voltages."""


class VoltageGuard(Settings):
    """Predicted voltages are kept inside these limits by the smallest change of the command."""

    low_pu: PositiveFloat = 0.95
    high_pu: PositiveFloat = 1.05
    sensitivity: Path
    """CSV: first column `channel` the observed voltages, others the commanded channels; pu per unit of the command."""
    margin_pu: NonNegativeFloat = 0.0


class Safety(Settings):
    """What the supervisor needs to know of the rig as a whole."""

    stale_after_s: PositiveFloat = 0.5
    """A measurement older than this is not used."""
    max_missed_cycles: PositiveInt = 3
    """Cycles in a row without a complete, plausible measurement before falling back."""
    deadline_share: float = Field(default=0.8, gt=0.0, le=1.0)
    """Share of a cycle's period in which reading, deciding and writing must be done."""
    reversion_s: PositiveInt = 5
    """What reversion timers of devices are set to."""
    refresh_share: float = Field(default=0.5, gt=0.0, lt=1.0)
    """Set-points are written again after this share of `reversion_s`, changed or not."""
    mismatch_cycles: PositiveInt = 2
    """Cycles in a row with another set-point read back than written before falling back."""
    arm_timeout_s: PositiveFloat = 60.0
    """An armed controller that is not started falls back to shadow."""
    stop_file: Path | None = None
    """The operator stops the rig by making this file."""
    voltage: VoltageGuard | None = None


class StopInput(Settings):
    """A register by which an operator stops the rig."""

    device: str
    point: str
    value: float = 1.0
    """Value of the point that means stop."""


class Clock(Settings):
    """Where the time of the rig comes from."""

    device: str | None = None
    """None = the clock of the controller, in UTC plus `utc_offset_h`."""
    point: str | None = None
    """Point with the seconds since the start of the year."""
    utc_offset_h: float = Field(default=0.0, ge=-12.0, le=14.0)
    days_in_year: Literal[365, 366] = 365
    """Of the year that a device's seconds are counted in."""


class Rig(Settings):
    """A laboratory: devices, and what the channels of a task are on them."""

    schema_: Literal["gridenv.rig/1"] = Field(alias="schema")
    description: str = ""
    task: str
    """Id of the task whose channels these are, or a task file (`.yaml`) with its `id` and settings, relative to the rig
    file."""
    rate_hz: PositiveFloat = 10.0
    """Cycles of reading, supervising and writing in a second."""
    policy_period_s: PositiveFloat | None = None
    """Time between two decisions of the policy; None = the step that it was trained with."""
    safety: Safety = Safety()
    clock: Clock = Clock()
    devices: tuple[Device, ...] = Field(min_length=1)
    observations: dict[str, Source]
    """Channel -> where it comes from."""
    actions: dict[str, Sink]
    """Channel -> where it goes."""
    stop: StopInput | None = None
    emulated: Emulated = Emulated()

    def device(self, name: str) -> Device:
        """A device by its name, which is known to exist."""
        return next(device for device in self.devices if device.name == name)
