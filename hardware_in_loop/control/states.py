"""States of the control of a rig and everything that leads from one to another, as a table."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What the loop does with the devices."""

    INIT = "INIT"
    """Connecting; nothing is written."""
    COMMISSION = "COMMISSION"
    """Everything is read and looked at once; nothing is written."""
    SHADOW = "SHADOW"
    """The policy runs and is recorded; nothing is written. The default."""
    ARMED = "ARMED"
    """An operator has allowed control; cycles without a problem are awaited, nothing is written."""
    ACTIVE = "ACTIVE"
    """Set-points of the policy are written through the supervisor."""
    HOLD = "HOLD"
    """A cycle without trustworthy measurements: the last set-points stay, nothing is written."""
    FALLBACK = "FALLBACK"
    """Safe set-points are written along the ramps until they are read back; then nothing, so that timers run out."""
    ESTOP = "ESTOP"
    """Safe set-points are written at once, ramps or not; latched."""


class Trigger(StrEnum):
    """What can lead to another state."""

    OPENED = "opened"
    COMPLETE = "complete"
    ARM = "arm"
    DISARM = "disarm"
    SETTLED = "settled"
    ARM_EXPIRED = "arm_expired"
    MISSED = "missed"
    STALE = "stale"
    IMPLAUSIBLE = "implausible"
    HEALTHY = "healthy"
    HELD_TOO_LONG = "held_too_long"
    REFUSED = "refused"
    MISMATCH = "mismatch"
    HEARTBEAT = "heartbeat"
    LOCAL = "local"
    LATE = "late"
    POLICY_INVALID = "policy_invalid"
    POLICY_SWING = "policy_swing"
    INFEASIBLE = "infeasible"
    RECORDER = "recorder"
    STOP = "stop"
    STOP_INPUT = "stop_input"
    ESTOP = "estop"
    RESET = "reset"


_CONTROLLING = (State.ACTIVE, State.HOLD)
_ANYWHERE = tuple(State)
DOUBTFUL = (Trigger.MISSED, Trigger.STALE, Trigger.IMPLAUSIBLE)
"""What makes the measurements of a cycle unusable."""


@dataclass(frozen=True, kw_only=True)
class Transition:
    """One line of the table."""

    sources: tuple[State, ...]
    trigger: Trigger
    target: State
    cause: str
    reaction: str
    bound: str
    """Longest time from the cause to the reaction."""


_SAME_CYCLE = "the cycle that sees it"
_TO_SAFE = "safe set-points along the ramps"
_NOTHING = "nothing is written"

TRANSITIONS: tuple[Transition, ...] = (
    Transition(
        sources=(State.INIT,),
        trigger=Trigger.OPENED,
        target=State.COMMISSION,
        cause="all devices are connected",
        reaction=_NOTHING,
        bound="-",
    ),
    Transition(
        sources=(State.COMMISSION,),
        trigger=Trigger.COMPLETE,
        target=State.SHADOW,
        cause="every channel was read once",
        reaction=_NOTHING,
        bound="-",
    ),
    Transition(
        sources=(State.SHADOW, State.FALLBACK),
        trigger=Trigger.ARM,
        target=State.ARMED,
        cause="an operator arms: mode active, a check that matches rig, map and bundle, no problem in this cycle, "
        "set-points in force inside their limits; after a fallback safe set-points confirmed",
        reaction=_NOTHING,
        bound="next cycle",
    ),
    Transition(
        sources=(State.ARMED,),
        trigger=Trigger.SETTLED,
        target=State.ACTIVE,
        cause="`settle_cycles` in a row without a problem",
        reaction="the first set-points start from those in force",
        bound="next cycle",
    ),
    Transition(
        sources=(State.ARMED,),
        trigger=Trigger.ARM_EXPIRED,
        target=State.SHADOW,
        cause="`armed_s` are over without as many",
        reaction=_NOTHING,
        bound="next cycle",
    ),
    Transition(
        sources=(State.ARMED,),
        trigger=Trigger.DISARM,
        target=State.SHADOW,
        cause="an operator disarms",
        reaction=_NOTHING,
        bound="next cycle",
    ),
    *(
        Transition(
            sources=(State.ACTIVE,),
            trigger=trigger,
            target=State.HOLD,
            cause=cause,
            reaction="the last set-points stay, nothing is written, the policy is not asked",
            bound=_SAME_CYCLE,
        )
        for trigger, cause in (
            (Trigger.MISSED, "a device did not answer in its time, or did not acknowledge a set-point"),
            (Trigger.STALE, "a measurement is older than `stale_after_s`"),
            (Trigger.IMPLAUSIBLE, "a measurement is NaN, out of range, too fast, or stuck"),
        )
    ),
    Transition(
        sources=(State.HOLD,),
        trigger=Trigger.HEALTHY,
        target=State.ACTIVE,
        cause="a cycle without a problem",
        reaction="control goes on from the set-points in force",
        bound=_SAME_CYCLE,
    ),
    Transition(
        sources=_CONTROLLING,
        trigger=Trigger.HELD_TOO_LONG,
        target=State.FALLBACK,
        cause="`max_missed_cycles` in a row without trustworthy measurements",
        reaction=_TO_SAFE,
        bound="`max_missed_cycles` after the first",
    ),
    *(
        Transition(
            sources=_CONTROLLING,
            trigger=trigger,
            target=State.FALLBACK,
            cause=cause,
            reaction=_TO_SAFE,
            bound=_SAME_CYCLE,
        )
        for trigger, cause in (
            (Trigger.REFUSED, "a set-point was not acknowledged in `max_missed_cycles` attempts in a row"),
            (
                Trigger.MISMATCH,
                "another set-point is read back than was written in `mismatch_cycles` in a row (write lost, register "
                "stuck, another controller)",
            ),
            (Trigger.HEARTBEAT, "the heartbeat of a device stands still for longer than `heartbeat_s`"),
            (Trigger.LOCAL, "a device says that it is in local operation"),
            (Trigger.LATE, "`max_late_cycles` in a row missed their deadline"),
            (Trigger.POLICY_INVALID, "the policy fails, or gives something that is not finite or of a wrong shape"),
            (Trigger.POLICY_SWING, "the policy turns back large steps `max_swings` times in a row"),
            (Trigger.INFEASIBLE, "no set-point keeps voltages inside limits for `max_infeasible_cycles` in a row"),
            (Trigger.RECORDER, "cycles cannot be recorded, such as on a full disk"),
            (Trigger.DISARM, "an operator takes control away"),
        )
    ),
    Transition(
        sources=(State.SHADOW, State.ARMED, *_CONTROLLING),
        trigger=Trigger.STOP,
        target=State.FALLBACK,
        cause="an operator stops the program: Ctrl-C, SIGTERM, SIGHUP, the file `control/stop`, or its time is over; a "
        "run that has never controlled leaves at once",
        reaction=f"{_TO_SAFE}, then the program leaves and says whether they were confirmed",
        bound="next cycle; the longest ramp plus `confirm_s` until it leaves",
    ),
    Transition(
        sources=_ANYWHERE,
        trigger=Trigger.STOP_INPUT,
        target=State.ESTOP,
        cause="the stop input of the rig is set, or its stop file is there",
        reaction="safe set-points at once",
        bound=_SAME_CYCLE,
    ),
    Transition(
        sources=_ANYWHERE,
        trigger=Trigger.ESTOP,
        target=State.ESTOP,
        cause="an operator: the file `control/estop`, or a second Ctrl-C or SIGTERM",
        reaction="safe set-points at once",
        bound="next cycle",
    ),
    Transition(
        sources=(State.ESTOP,),
        trigger=Trigger.RESET,
        target=State.SHADOW,
        cause="an operator resets, and the stop input is clear",
        reaction=_NOTHING,
        bound="next cycle",
    ),
)

_NEXT = {(source, t.trigger): t.target for t in TRANSITIONS for source in t.sources}


def next_state(state: State, trigger: Trigger) -> State:
    """Where a trigger leads; the state itself where it has no meaning."""
    return _NEXT.get((state, trigger), state)


def may_write(state: State) -> bool:
    """Whether anything may be written in a state."""
    return state in (State.ACTIVE, State.FALLBACK, State.ESTOP)


def is_usable(triggers: Collection[Trigger]) -> bool:
    """Whether the measurements of a cycle with these findings may be given to a policy."""
    return not set(DOUBTFUL) & set(triggers)


def table() -> str:
    """The transitions as a table in Markdown, as docs/hil/safety.md has it."""
    lines = ["| From | Cause | To | Reaction | Within |", "|---|---|---|---|---|"]
    for t in TRANSITIONS:
        sources = "any" if t.sources == _ANYWHERE else ", ".join(t.sources)
        lines.append(f"| {sources} | `{t.trigger}`: {t.cause} | {t.target} | {t.reaction} | {t.bound} |")
    return "\n".join(lines)
